"""/1.0/instances/{name}/state and /exec: what an instance does now. Source: LXD REST API, instances."""

import asyncio

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.requests import body, requestor
from lightervisor.api.services import services
from lightervisor.errors import Invalid
from lightervisor.instances.catalog import is_ready
from lightervisor.model.exec import InstanceExecPost
from lightervisor.model.instance_state import InstanceStatePut


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}/state."""
    found = services(request)
    row = found.catalog.row(*named(request))
    devices, ready = found.catalog.expand(row).devices, is_ready(row)
    return envelope.sync(await asyncio.to_thread(found.states.get, *named(request), devices, is_ready=ready))


async def change(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/instances/{name}/state: start, stop, restart, freeze, unfreeze."""
    put = await body(request, InstanceStatePut)
    if put.lease:
        if put.action != "freeze":
            raise Invalid("state", put.action, cause="only what is frozen can be so by a lease")
        return envelope.background(services(request).frozen_while.start(*named(request), requestor(request)))
    return envelope.background(services(request).power.change(*named(request), put, requestor(request)))


async def execute(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}/exec."""
    post = await body(request, InstanceExecPost)
    return envelope.background(await services(request).exec.run(*named(request), post, requestor(request)))


ROUTES = [
    *routes("GET", "/{name}/state", show),
    *routes("PUT", "/{name}/state", change),
    *routes("POST", "/{name}/exec", execute),
]
