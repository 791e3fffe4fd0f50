"""/1.0/storage-pools/<pool>/volumes/custom/<name>/snapshots. Source: LXD REST API, snapshots of storage volumes."""

import msgspec
from aiohttp import web

from lightervisor.api import envelope, etag, urls
from lightervisor.api.requests import body, recursion, refuse_member, requestor
from lightervisor.api.services import services
from lightervisor.api.storage_volumes import VOLUME, place
from lightervisor.config.names import VolumePlace
from lightervisor.errors import Invalid
from lightervisor.model.storage_volume import (
    StorageVolumeSnapshot,
    StorageVolumeSnapshotPost,
    StorageVolumeSnapshotPut,
    StorageVolumeSnapshotsPost,
)


def _snapshot(request: web.Request) -> tuple[VolumePlace, str]:
    refuse_member(request)
    return place(request), request.match_info["snapshot"]


def _etag(one: StorageVolumeSnapshot) -> str:
    return etag.of([one.name, one.description, one.expires_at])


async def everything(request: web.Request) -> web.StreamResponse:
    """GET .../snapshots: URLs or objects, which are named after their volume; the oldest first."""
    where = place(request)
    found = services(request).volume_snapshots.all_of(where)
    if recursion(request):
        return envelope.sync([msgspec.structs.replace(one, name=f"{where.name}/{one.name}") for one in found])
    above = ("storage-pools", where.pool, "volumes", "custom", where.name, "snapshots")
    return envelope.sync([urls.of(*above, one.name, project=where.project) for one in found])


async def create(request: web.Request) -> web.StreamResponse:
    """POST .../snapshots."""
    refuse_member(request)
    where, post = place(request), await body(request, StorageVolumeSnapshotsPost)
    return envelope.background(await services(request).volume_snapshots.create(where, post, requestor(request)))


async def show(request: web.Request) -> web.StreamResponse:
    """GET .../snapshots/{snapshot}."""
    found = services(request).volume_snapshots.get(*_snapshot(request))
    return envelope.sync(found, etag=_etag(found))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT, PATCH .../snapshots/{snapshot}: its description and its end."""
    found, where = services(request).volume_snapshots, _snapshot(request)
    put = await body(request, StorageVolumeSnapshotPut)
    etag.check(request.headers.get("If-Match"), _etag(found.get(*where)))
    await found.replace(*where, put, requestor(request))
    return envelope.sync()


async def rename(request: web.Request) -> web.StreamResponse:
    """POST .../snapshots/{snapshot}: rename."""
    where, post = _snapshot(request), await body(request, StorageVolumeSnapshotPost)
    if not post.name:
        raise Invalid("snapshot", text="No name provided")
    return envelope.background(services(request).volume_snapshots.rename(*where, post.name, requestor(request)))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE .../snapshots/{snapshot}."""
    return envelope.background(services(request).volume_snapshots.delete(*_snapshot(request), requestor(request)))


_SNAPSHOTS = f"{VOLUME}/snapshots"
_SNAPSHOT = f"{_SNAPSHOTS}/{{snapshot}}"
ROUTES = [
    web.get(_SNAPSHOTS, everything),
    web.post(_SNAPSHOTS, create),
    web.get(_SNAPSHOT, show),
    web.put(_SNAPSHOT, replace),
    web.patch(_SNAPSHOT, replace),
    web.post(_SNAPSHOT, rename),
    web.delete(_SNAPSHOT, delete),
]
