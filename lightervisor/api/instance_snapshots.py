"""/1.0/instances/{name}/snapshots. Source: LXD REST API, instance snapshots."""

from datetime import datetime

import msgspec
from aiohttp import web

from lightervisor.api import envelope, etag, urls
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.requests import body, recursion, requestor
from lightervisor.api.services import Services, services
from lightervisor.errors import Invalid
from lightervisor.model.instance import (
    InstanceSnapshot,
    InstanceSnapshotPost,
    InstanceSnapshotPut,
    InstanceSnapshotsPost,
)


class _Patch(msgspec.Struct, frozen=True):
    expires_at: datetime | None = None


def _snapshot(request: web.Request) -> tuple[str, str, str]:
    return *named(request), request.match_info["snapshot"]


def _etag(snapshot: InstanceSnapshot) -> str:
    return etag.of([snapshot.expires_at])


async def _check_unchanged(request: web.Request, found: Services) -> None:
    if given := request.headers.get("If-Match"):
        etag.check(given, _etag(await found.snapshots.get(*_snapshot(request))))


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}/snapshots: URLs or objects, the oldest first."""
    found, (project, instance) = services(request), named(request)
    if recursion(request):
        return envelope.sync(found.snapshots.all_of(project, instance))
    names = found.snapshots.names(project, instance)  # in each of the three trees under /1.0/instances, as LXD does
    return envelope.sync([urls.of("instances", instance, "snapshots", name, project=project) for name in names])


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}/snapshots."""
    found, post = services(request), await body(request, InstanceSnapshotsPost)
    return envelope.background(await found.snapshot_taking.create(*named(request), post, requestor(request)))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}/snapshots/{snapshot}."""
    snapshot = await services(request).snapshots.get(*_snapshot(request))
    return envelope.sync(snapshot, etag=_etag(snapshot))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/instances/{name}/snapshots/{snapshot}: `expires_at` alone can be changed; without it, it never ends."""
    found, put = services(request), await body(request, InstanceSnapshotPut)
    await _check_unchanged(request, found)
    return envelope.background(found.snapshots.expire(*_snapshot(request), put.expires_at, requestor(request)))


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/instances/{name}/snapshots/{snapshot}: as PUT, but what is not given stays."""
    found, patch = services(request), await body(request, _Patch)
    await _check_unchanged(request, found)
    return envelope.background(found.snapshots.expire(*_snapshot(request), patch.expires_at, requestor(request)))


async def rename(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}/snapshots/{snapshot}: rename, or send to another server."""
    post = await body(request, InstanceSnapshotPost)
    if post.migration:
        return envelope.background(services(request).sending.snapshot(*_snapshot(request), post.target))
    if not post.name:
        raise Invalid("snapshot", text="No name provided")
    return envelope.background(services(request).snapshots.rename(*_snapshot(request), post.name, requestor(request)))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/instances/{name}/snapshots/{snapshot}."""
    return envelope.background(services(request).snapshots.delete(*_snapshot(request), requestor(request)))


ROUTES = [
    *routes("GET", "/{name}/snapshots", everything),
    *routes("POST", "/{name}/snapshots", create),
    *routes("GET", "/{name}/snapshots/{snapshot}", show),
    *routes("PUT", "/{name}/snapshots/{snapshot}", replace),
    *routes("PATCH", "/{name}/snapshots/{snapshot}", merge),
    *routes("POST", "/{name}/snapshots/{snapshot}", rename),
    *routes("DELETE", "/{name}/snapshots/{snapshot}", delete),
]
