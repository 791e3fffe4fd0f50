"""/1.0/images/build: what this host can build itself (extension image_source_build)."""

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.config import architectures
from lightervisor.images.sources import build


async def everything(_request: web.Request) -> web.StreamResponse:
    """GET /1.0/images/build: the products, as images that are not there yet."""
    return envelope.sync(build.catalog(architectures.own()))


ROUTES = [web.get("/1.0/images/build", everything)]
