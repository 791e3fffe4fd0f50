"""/1.0/certificates: no client is trusted but those of the unix socket. Source: LXD REST API, certificates."""

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.errors import NotFound


async def everything(_request: web.Request) -> web.StreamResponse:
    """GET /1.0/certificates."""
    return envelope.sync([])


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/certificates/{fingerprint}."""
    raise NotFound("certificate", request.match_info["fingerprint"])


ROUTES = [
    web.get("/1.0/certificates", everything),
    web.get("/1.0/certificates/{fingerprint}", show),
]
