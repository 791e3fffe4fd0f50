"""`/`, `/1.0` and the daemon's internal endpoints. Source: LXD, GET /1.0."""

from aiohttp import web

from lightervisor.api import envelope, etag
from lightervisor.api.extensions import EXTENSIONS
from lightervisor.api.services import services
from lightervisor.model.server import Server


async def versions(_request: web.Request) -> web.StreamResponse:
    """GET /: the API's versions."""
    return envelope.sync(["/1.0"])


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0: the server."""
    config = services(request).server_config()
    server = Server(
        config=config,
        api_extensions=EXTENSIONS,
        api_status="stable",
        api_version="1.0",
        auth="trusted",
        public=False,
        auth_methods=["tls"],
        environment=services(request).environment(),
    )
    return envelope.sync(server, etag=etag.of([config]))


async def is_ready(_request: web.Request) -> web.StreamResponse:
    """GET /internal/ready: answered only when the daemon is."""
    return envelope.sync()


async def shut_down(request: web.Request) -> web.StreamResponse:
    """PUT /internal/shutdown: stop the instances, then the daemon."""
    services(request).shut_down()
    return envelope.sync()


ROUTES = [
    web.get("/", versions),
    web.get("/1.0", show),
    web.get("/internal/ready", is_ready),
    web.put("/internal/shutdown", shut_down),
]
