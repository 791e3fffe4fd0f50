"""/1.0/instances, and /1.0/containers beside it. Source: LXD REST API, instances."""

import asyncio

from aiohttp import web

from lightervisor.api import envelope, etag, filters
from lightervisor.api.requests import body, project, recursion, requestor
from lightervisor.api.services import Services, services
from lightervisor.errors import Invalid, Unsupported
from lightervisor.model.exec import InstanceExecPost
from lightervisor.model.instance import Instance, InstanceFull, InstancePost, InstancePut, InstancesPost
from lightervisor.model.instance_state import InstanceStatePut

KINDS = ("instances", "containers")


def _etag(instance: Instance) -> str:
    return etag.of(
        [instance.architecture, instance.config, instance.devices, instance.ephemeral, instance.profiles or []]
    )


def _full(found: Services, instance: Instance) -> InstanceFull:
    fields = {name: getattr(instance, name) for name in Instance.__struct_fields__}
    return InstanceFull(**fields, state=found.states.get(instance.project, instance.name))


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances: URLs, objects, or objects with their state."""
    found, depth = services(request), recursion(request)
    chosen = None if request.query.get("all-projects") == "true" else project(request)
    wanted = request.query.get("filter", "")
    if depth == 0 and not wanted:
        return envelope.sync([f"/1.0/{request.path.split('/')[2]}/{name}" for _, name in found.catalog.names(chosen)])
    listed = filters.matching(wanted, found.catalog.list(chosen))
    if depth == 0:
        return envelope.sync([f"/1.0/{request.path.split('/')[2]}/{one.name}" for one in listed])
    if depth == 1:
        return envelope.sync(listed)
    return envelope.sync(await asyncio.to_thread(lambda: [_full(found, instance) for instance in listed]))


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances."""
    post = await body(request, InstancesPost)
    found = services(request)
    return envelope.background(found.creation.create(project(request), post, found.events, requestor(request)))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}."""
    found = services(request)
    instance = found.catalog.get(project(request), request.match_info["name"])
    shown = await asyncio.to_thread(_full, found, instance) if recursion(request) else instance
    return envelope.sync(shown, etag=_etag(instance))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/instances/{name}."""
    found, name = services(request), request.match_info["name"]
    put = await body(request, InstancePut)
    etag.check(request.headers.get("If-Match"), _etag(found.catalog.get(project(request), name)))
    return envelope.background(found.update.replace(project(request), name, put, found.events, requestor(request)))


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/instances/{name}."""
    found, name = services(request), request.match_info["name"]
    put = await body(request, InstancePut)
    etag.check(request.headers.get("If-Match"), _etag(found.catalog.get(project(request), name)))
    await found.update.merge(project(request), name, put, found.events, requestor(request))
    return envelope.sync()


async def rename(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}: rename."""
    post = await body(request, InstancePost)
    if post.migration:
        raise Unsupported("migration", cause="moving between servers or pools is not offered yet")
    if not post.name:
        raise Invalid("instance", text="No name provided")
    removal = services(request).removal
    name = request.match_info["name"]
    return envelope.background(removal.rename(project(request), name, post.name, requestor(request)))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/instances/{name}."""
    name = request.match_info["name"]
    return envelope.background(services(request).removal.delete(project(request), name, requestor(request)))


async def state(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}/state."""
    found, name = services(request), request.match_info["name"]
    found.catalog.row(project(request), name)
    return envelope.sync(await asyncio.to_thread(found.states.get, project(request), name))


async def change_state(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/instances/{name}/state."""
    put = await body(request, InstanceStatePut)
    name = request.match_info["name"]
    return envelope.background(services(request).power.change(project(request), name, put, requestor(request)))


async def execute(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}/exec."""
    post = await body(request, InstanceExecPost)
    name = request.match_info["name"]
    return envelope.background(services(request).exec.run(project(request), name, post, requestor(request)))


ROUTES = [
    route
    for kind in KINDS
    for route in (
        web.get(f"/1.0/{kind}", everything),
        web.post(f"/1.0/{kind}", create),
        web.get(f"/1.0/{kind}/{{name}}", show),
        web.put(f"/1.0/{kind}/{{name}}", replace),
        web.patch(f"/1.0/{kind}/{{name}}", merge),
        web.post(f"/1.0/{kind}/{{name}}", rename),
        web.delete(f"/1.0/{kind}/{{name}}", delete),
        web.get(f"/1.0/{kind}/{{name}}/state", state),
        web.put(f"/1.0/{kind}/{{name}}/state", change_state),
        web.post(f"/1.0/{kind}/{{name}}/exec", execute),
    )
]
