"""/1.0/networks. Source: LXD REST API, networks."""

from aiohttp import web

from lightervisor.api import envelope, etag, urls
from lightervisor.api.requests import body, project, recursion, refuse_member, requestor
from lightervisor.api.services import services
from lightervisor.model.network import Network, NetworkPost, NetworkPut, NetworksPost


def _etag(one: Network) -> str:
    return etag.of([one.name, one.managed, one.type, one.description, one.config])


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/networks."""
    project(request)
    found = services(request).networks.list()
    return envelope.sync(found if recursion(request) else [urls.of("networks", one.name) for one in found])


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/networks."""
    project(request)
    refuse_member(request)
    post = await body(request, NetworksPost)
    await services(request).networks.create(post, requestor(request))
    return envelope.created(urls.of("networks", post.name))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/networks/{name}."""
    project(request)
    refuse_member(request)
    one = services(request).networks.get(request.match_info["name"])
    return envelope.sync(one, etag=_etag(one))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/networks/{name}."""
    project(request)
    refuse_member(request)
    found, name = services(request).networks, request.match_info["name"]
    put = await body(request, NetworkPut)
    etag.check(request.headers.get("If-Match"), _etag(found.get(name)))
    await found.replace(name, put, requestor(request))
    return envelope.sync()


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/networks/{name}."""
    project(request)
    refuse_member(request)
    found, name = services(request).networks, request.match_info["name"]
    put = await body(request, NetworkPut)
    etag.check(request.headers.get("If-Match"), _etag(found.get(name)))
    await found.merge(name, put, requestor(request))
    return envelope.sync()


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/networks/{name}."""
    project(request)
    await services(request).networks.delete(request.match_info["name"], requestor(request))
    return envelope.sync()


async def rename(request: web.Request) -> web.StreamResponse:
    """POST /1.0/networks/{name}."""
    project(request)
    post = await body(request, NetworkPost)
    await services(request).networks.rename(request.match_info["name"], post.name, requestor(request))
    return envelope.created(urls.of("networks", post.name))


async def state(request: web.Request) -> web.StreamResponse:
    """GET /1.0/networks/{name}/state."""
    project(request)
    refuse_member(request)
    return envelope.sync(services(request).networks.state(request.match_info["name"]))


async def leases(request: web.Request) -> web.StreamResponse:
    """GET /1.0/networks/{name}/leases."""
    project(request)
    return envelope.sync(await services(request).networks.leases(request.match_info["name"]))


ROUTES = [
    web.get("/1.0/networks", everything),
    web.post("/1.0/networks", create),
    web.get("/1.0/networks/{name}", show),
    web.put("/1.0/networks/{name}", replace),
    web.patch("/1.0/networks/{name}", merge),
    web.delete("/1.0/networks/{name}", delete),
    web.post("/1.0/networks/{name}", rename),
    web.get("/1.0/networks/{name}/state", state),
    web.get("/1.0/networks/{name}/leases", leases),
]
