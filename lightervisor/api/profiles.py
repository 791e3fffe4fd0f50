"""/1.0/profiles. Source: LXD REST API, profiles."""

from aiohttp import web

from lightervisor.api import envelope, etag, urls
from lightervisor.api.requests import body, project, recursion, requestor
from lightervisor.api.services import services
from lightervisor.model.profile import Profile, ProfilePost, ProfilePut, ProfilesPost


def _etag(one: Profile) -> str:
    return etag.of([one.config, one.description, one.devices])


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/profiles."""
    found = services(request).profiles.list(project(request))
    return envelope.sync(found if recursion(request) else [urls.of("profiles", one.name) for one in found])


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/profiles."""
    post = await body(request, ProfilesPost)
    await services(request).profiles.create(project(request), post, requestor(request))
    return envelope.created(urls.of("profiles", post.name))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/profiles/{name}."""
    one = services(request).profiles.get(project(request), request.match_info["name"])
    return envelope.sync(one, etag=_etag(one))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/profiles/{name}."""
    found, name = services(request).profiles, request.match_info["name"]
    put = await body(request, ProfilePut)
    etag.check(request.headers.get("If-Match"), _etag(found.get(project(request), name)))
    await found.replace(project(request), name, put, requestor(request))
    return envelope.sync()


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/profiles/{name}."""
    found, name = services(request).profiles, request.match_info["name"]
    put = await body(request, ProfilePut)
    etag.check(request.headers.get("If-Match"), _etag(found.get(project(request), name)))
    await found.merge(project(request), name, put, requestor(request))
    return envelope.sync()


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/profiles/{name}."""
    await services(request).profiles.delete(project(request), request.match_info["name"], requestor(request))
    return envelope.sync()


async def rename(request: web.Request) -> web.StreamResponse:
    """POST /1.0/profiles/{name}."""
    post = await body(request, ProfilePost)
    await services(request).profiles.rename(project(request), request.match_info["name"], post.name, requestor(request))
    return envelope.created(urls.of("profiles", post.name))


ROUTES = [
    web.get("/1.0/profiles", everything),
    web.post("/1.0/profiles", create),
    web.get("/1.0/profiles/{name}", show),
    web.put("/1.0/profiles/{name}", replace),
    web.patch("/1.0/profiles/{name}", merge),
    web.delete("/1.0/profiles/{name}", delete),
    web.post("/1.0/profiles/{name}", rename),
]
