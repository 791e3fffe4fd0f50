"""/1.0/instances: the instances themselves. Source: LXD REST API, instances."""

import asyncio

import msgspec
from aiohttp import web
from msgspec import UnsetType

from lightervisor.api import callers, envelope, etag, filters, instance_imports, raw, urls
from lightervisor.api.instance_paths import MACHINES, kind_of, named, routes
from lightervisor.api.requests import body, project, projects, recursion, requestor
from lightervisor.api.services import Services, services
from lightervisor.auth.caller import Level, refused
from lightervisor.errors import Invalid, NotFound
from lightervisor.model.backup import InstanceBackup
from lightervisor.model.instance import (
    Instance,
    InstanceFull,
    InstancePost,
    InstancePut,
    InstanceSnapshot,
    InstancesPost,
)
from lightervisor.model.profile import Profile

OWN_FIELDS = Instance.__struct_fields__


def _etag(instance: Instance, profiles: list[Profile]) -> str:
    hashed = [
        {"config": one.config, "description": one.description, "devices": one.devices, "name": one.name,
         "used_by": None}  # as LXD hashes it: as it is stored, where nobody has counted its users
        for one in profiles
    ]  # fmt: skip
    return etag.of_instance(instance.architecture, instance.config, instance.devices, instance.ephemeral, hashed)


def _check_unchanged(request: web.Request) -> None:
    """Raise PreconditionFailed when the instance is not as the caller read it."""
    if given := request.headers.get("If-Match"):
        etag.check(given, _etag(*services(request).catalog.with_profiles(*named(request))))


def _full(
    found: Services, instance: Instance, snapshots: list[InstanceSnapshot] | None, backups: list[InstanceBackup] | None
) -> InstanceFull:
    fields = {name: getattr(instance, name) for name in OWN_FIELDS}
    ready = instance.status == "Ready"
    devices = {} if isinstance(instance.expanded_devices, UnsetType) else instance.expanded_devices
    state = found.states.get(instance.project, instance.name, devices, is_ready=ready)
    return InstanceFull(**fields, state=state, snapshots=snapshots or None, backups=backups or None)


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances: URLs, objects, or objects with their state."""
    found, depth, kind = services(request), recursion(request), kind_of(request)
    chosen, expression = projects(request), request.query.get("filter", "")
    if kind == MACHINES:
        return envelope.sync([])
    if depth == 0 and not expression:
        return envelope.sync([urls.of(kind, name, project=where) for where, name in found.catalog.names(chosen)])
    listed = await filters.matching(expression, found.catalog.list(chosen))
    if depth == 0:
        return envelope.sync([urls.of(kind, one.name, project=one.project) for one in listed])
    if depth == 1:
        return envelope.sync(listed)
    snapshots = found.snapshots.by_instance(chosen)
    backups = found.backups.by_instance(chosen) if found.backups else {}

    def whole(one: Instance) -> InstanceFull:
        place = one.project, one.name
        return _full(found, one, snapshots.get(place), backups.get(place))

    return envelope.sync(await asyncio.to_thread(lambda: [whole(one) for one in listed]))


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances."""
    if request.headers.get("Content-Type") == raw.STREAM:  # aiohttp takes it for the default
        return await instance_imports.restore(request)
    found, post = services(request), await body(request, InstancesPost)
    if kind_of(request) == MACHINES:
        post = msgspec.structs.replace(post, type="virtual-machine")
    if request.query.get("target"):
        raise Invalid("target", text="Target only allowed when clustered")
    if post.source.type == "migration" and post.source.live and callers.of(request).level is Level.RESTRICTED:
        raise refused()  # criu reads what the other server sends, and does as root what it finds
    ways = {"copy": found.copying.copy, "migration": found.receiving.receive}
    begin = ways.get(post.source.type, found.creation.create)
    return envelope.background(begin(project(request), post, requestor(request)))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}: the object, or with its state when any recursion is asked."""
    found = services(request)
    instance, profiles = found.catalog.with_profiles(*named(request))
    shown = instance
    if recursion(request):
        snapshots = found.snapshots.all_of(*named(request))
        backups = found.backups.all_of(*named(request)) if found.backups else None
        shown = await asyncio.to_thread(_full, found, instance, snapshots, backups)
    return envelope.sync(shown, etag=_etag(instance, profiles))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/instances/{name}: the configuration, or `restore` with the name of a snapshot."""
    found, put = services(request), await body(request, InstancePut)
    _check_unchanged(request)
    if put.restore:
        restoring = found.snapshot_restoring.restore(
            *named(request), put.restore, stateful=put.stateful, requestor=requestor(request)
        )
        return envelope.background(restoring)
    return envelope.background(found.update.replace(*named(request), put, found.events, requestor(request)))


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/instances/{name}: answers when it is done."""
    found, put = services(request), await body(request, InstancePut)
    _check_unchanged(request)
    await found.update.merge(*named(request), put, found.events, requestor(request))
    return envelope.sync()


async def rename(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}: rename, move to another pool, or send to another server."""
    found, post = services(request), await body(request, InstancePost)
    if post.project not in ("", project(request)):
        raise NotFound("project", post.project)
    if post.migration and post.pool:
        return envelope.background(found.moving.move(*named(request), post, requestor(request)))
    if post.migration:
        alone = post.instance_only or post.container_only
        sending = await found.sending.instance(*named(request), post.target, live=post.live, instance_only=alone)
        return envelope.background(sending)
    if not post.name:
        raise Invalid("instance", text="No name provided")
    return envelope.background(found.removal.rename(*named(request), post.name, requestor(request)))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/instances/{name}."""
    return envelope.background(services(request).removal.delete(*named(request), requestor(request)))


ROUTES = [
    *routes("GET", "", everything),
    *routes("POST", "", create),
    *routes("GET", "/{name}", show),
    *routes("PUT", "/{name}", replace),
    *routes("PATCH", "/{name}", merge),
    *routes("POST", "/{name}", rename),
    *routes("DELETE", "/{name}", delete),
]
