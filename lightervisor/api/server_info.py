"""`/`, `/1.0` and the daemon's internal endpoints. Source: LXD, /1.0."""

from typing import Any

from aiohttp import web

from lightervisor.api import callers, envelope, etag, incus
from lightervisor.api.extensions import EXTENSIONS
from lightervisor.api.requests import body, refuse_member, requestor
from lightervisor.api.services import services
from lightervisor.config.types import is_true
from lightervisor.model.server import Server, ServerPut, ServerUntrusted

OFFER: dict[str, Any] = {
    "api_extensions": EXTENSIONS,
    "api_status": "stable",
    "api_version": "1.0",
    "public": False,
    "auth_methods": ["tls"],
}


async def versions(_request: web.Request) -> web.StreamResponse:
    """GET /: the API's versions."""
    return envelope.sync(["/1.0"])


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0: the server; guests learn only how to become trusted, and restricted clients no configuration."""
    caller = callers.of(request)
    if not caller.is_trusted:
        return envelope.sync(ServerUntrusted(auth="untrusted", **OFFER), etag=etag.of(None))
    refuse_member(request)
    config: Any = services(request).server_config.shown() if caller.is_admin else None
    # Incus' client has texts only, and would show nothing of a server with a boolean.
    shown = services(request).server_config.all() if caller.is_admin and incus.asks(request) else config
    server = Server(config=shown, auth="trusted", environment=services(request).environment(), **OFFER)
    return envelope.sync(server, etag=etag.of(config))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0: the server's configuration."""
    refuse_member(request)
    config, put = services(request).server_config, await body(request, ServerPut)
    etag.check(request.headers.get("If-Match"), etag.of(config.shown()))
    await config.replace(put.config, requestor(request))
    return envelope.sync()


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0: some of the server's configuration."""
    refuse_member(request)
    config, put = services(request).server_config, await body(request, ServerPut)
    etag.check(request.headers.get("If-Match"), etag.of(config.shown()))
    await config.merge(put.config, requestor(request))
    return envelope.sync()


async def is_ready(_request: web.Request) -> web.StreamResponse:
    """GET /internal/ready: answered only when the daemon is."""
    return envelope.sync()


async def shut_down(request: web.Request) -> web.StreamResponse:
    """PUT /internal/shutdown: stop the instances, then the daemon; `force` does not wait for operations."""
    services(request).shut_down(is_true(request.query.get("force")))
    return envelope.sync()


ROUTES = [
    web.get("/", versions),
    web.get("/1.0", show),
    web.put("/1.0", replace),
    web.patch("/1.0", merge),
    web.get("/internal/ready", is_ready),
    web.put("/internal/shutdown", shut_down),
]
