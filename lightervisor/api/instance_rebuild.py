"""/1.0/instances/{name}/rebuild (extension instances_rebuild). Source: LXD 5.x REST API, instances."""

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.requests import body, requestor
from lightervisor.api.services import services
from lightervisor.model.instance import InstanceRebuildPost


async def rebuild(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}/rebuild."""
    found, post = services(request), await body(request, InstanceRebuildPost)
    return envelope.background(found.rebuilding.rebuild(*named(request), post, found.events, requestor(request)))


ROUTES = [*routes("POST", "/{name}/rebuild", rebuild)]
