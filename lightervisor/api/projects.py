"""/1.0/projects: the one project there is. Source: LXD REST API, projects."""

from aiohttp import web

from lightervisor.api import callers, envelope, etag, urls
from lightervisor.api.requests import recursion
from lightervisor.api.services import services
from lightervisor.auth.caller import refused
from lightervisor.errors import NotFound
from lightervisor.model.project import Project

CONFIG = {
    "features.images": "true",
    "features.networks": "true",
    "features.profiles": "true",
    "features.storage.volumes": "true",
}


def _default(request: web.Request) -> Project:
    found = services(request)
    users = [
        *(urls.of("images", image.fingerprint) for image in found.images.list()),
        *(urls.of("instances", name) for _, name in found.catalog.names("default")),
        *(urls.of("networks", network.name) for network in found.networks.list() if network.managed),
        *(urls.of("profiles", profile.name) for profile in found.profiles.list("default")),
    ]
    return Project(name="default", description="Default LXD project", config=CONFIG, used_by=users)


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/projects."""
    if not callers.of(request).may_enter("default"):
        return envelope.sync([])
    return envelope.sync([_default(request)] if recursion(request) else [urls.of("projects", "default")])


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/projects/{name}."""
    if not callers.of(request).may_enter(request.match_info["name"]):
        raise refused()
    if request.match_info["name"] != "default":
        raise NotFound("project", request.match_info["name"])
    one = _default(request)
    return envelope.sync(one, etag=etag.of([one.description, one.config]))


ROUTES = [
    web.get("/1.0/projects", everything),
    web.get("/1.0/projects/{name}", show),
]
