"""/1.0/resources. Source: LXD REST API, resources."""

import asyncio

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.api.requests import refuse_member
from lightervisor.api.services import services


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/resources: the host's hardware."""
    refuse_member(request)
    return envelope.sync(await asyncio.to_thread(services(request).resources))


ROUTES = [web.get("/1.0/resources", show)]
