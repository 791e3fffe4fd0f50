"""/1.0/images/build: what this host can build itself (extension image_source_build)."""

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.api.services import services


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/build: the products, as images that are not there yet."""
    return envelope.sync(services(request).built.catalog())


ROUTES = [web.get("/1.0/images/build", everything)]
