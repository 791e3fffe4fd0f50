"""/1.0/storage-pools. Source: LXD REST API, storage pools."""

from aiohttp import web

from lightervisor.api import envelope, etag, urls
from lightervisor.api.requests import body, recursion, refuse_member, requestor
from lightervisor.api.services import services
from lightervisor.model.storage_pool import StoragePool, StoragePoolPut, StoragePoolsPost


def _etag(one: StoragePool) -> str:
    return etag.of([one.name, one.driver, one.config])


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/storage-pools."""
    found = services(request).pools.list()
    return envelope.sync(found if recursion(request) else [urls.of("storage-pools", one.name) for one in found])


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/storage-pools."""
    refuse_member(request)
    post = await body(request, StoragePoolsPost)
    await services(request).pools.create(post, requestor(request))
    return envelope.created(urls.of("storage-pools", post.name))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/storage-pools/{name}."""
    refuse_member(request)
    one = services(request).pools.get(request.match_info["name"])
    return envelope.sync(one, etag=_etag(one))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/storage-pools/{name}."""
    refuse_member(request)
    found, name = services(request).pools, request.match_info["name"]
    put = await body(request, StoragePoolPut)
    etag.check(request.headers.get("If-Match"), _etag(found.get(name)))
    await found.replace(name, put, requestor(request))
    return envelope.sync()


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/storage-pools/{name}."""
    refuse_member(request)
    found, name = services(request).pools, request.match_info["name"]
    put = await body(request, StoragePoolPut)
    etag.check(request.headers.get("If-Match"), _etag(found.get(name)))
    await found.merge(name, put, requestor(request))
    return envelope.sync()


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/storage-pools/{name}."""
    await services(request).pools.delete(request.match_info["name"], requestor(request))
    return envelope.sync()


async def resources(request: web.Request) -> web.StreamResponse:
    """GET /1.0/storage-pools/{name}/resources."""
    refuse_member(request)
    return envelope.sync(services(request).pools.usage(request.match_info["name"]))


ROUTES = [
    web.get("/1.0/storage-pools", everything),
    web.post("/1.0/storage-pools", create),
    web.get("/1.0/storage-pools/{name}", show),
    web.put("/1.0/storage-pools/{name}", replace),
    web.patch("/1.0/storage-pools/{name}", merge),
    web.delete("/1.0/storage-pools/{name}", delete),
    web.get("/1.0/storage-pools/{name}/resources", resources),
]
