"""/1.0/storage-pools/<pool>/volumes/custom/<name>/backups. Source: LXD REST API, backups of custom volumes.

Who accepts application/octet-stream when making one gets the archive itself as the answer, as of instances.
"""

import asyncio

from aiohttp import web

from lightervisor.api import envelope, raw, urls
from lightervisor.api.instance_backups import sent
from lightervisor.api.requests import body, recursion, refuse_member, requestor
from lightervisor.api.services import offered, services
from lightervisor.api.storage_volumes import VOLUME, place
from lightervisor.backups.volume_backups import VolumeBackups
from lightervisor.config.names import VolumePlace
from lightervisor.errors import Invalid
from lightervisor.model.backup import InstanceBackupPost, StorageVolumeBackupsPost


def _backup(request: web.Request) -> tuple[VolumePlace, str]:
    refuse_member(request)
    return place(request), request.match_info["backup"]


def _backups(request: web.Request) -> VolumeBackups:
    return offered(services(request).volume_backups, "backup")


async def everything(request: web.Request) -> web.StreamResponse:
    """GET .../backups: URLs or objects, the oldest first."""
    where = place(request)
    found = _backups(request).all_of(where)
    if recursion(request):
        return envelope.sync(found)
    above = ("storage-pools", where.pool, "volumes", "custom", where.name, "backups")
    return envelope.sync([urls.of(*above, one.name, project=where.project) for one in found])


async def create(request: web.Request) -> web.StreamResponse:
    """POST .../backups."""
    refuse_member(request)
    where, post = place(request), await body(request, StorageVolumeBackupsPost)
    if raw.STREAM in request.headers.get("Accept", ""):
        return await sent(request, services(request).operations, _backups(request).stream(where, post))
    return envelope.background(_backups(request).create(where, post, requestor(request)))


async def show(request: web.Request) -> web.StreamResponse:
    """GET .../backups/{backup}."""
    return envelope.sync(_backups(request).get(*_backup(request)))


async def rename(request: web.Request) -> web.StreamResponse:
    """POST .../backups/{backup}: rename."""
    where, post = _backup(request), await body(request, InstanceBackupPost)
    if not post.name:
        raise Invalid("backup", text="No name provided")
    return envelope.background(_backups(request).rename(*where, post.name, requestor(request)))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE .../backups/{backup}."""
    return envelope.background(_backups(request).delete(*_backup(request), requestor(request)))


async def export(request: web.Request) -> web.StreamResponse:
    """GET .../backups/{backup}/export: the file."""
    path = _backups(request).file(*_backup(request), requestor(request))
    with await asyncio.to_thread(path.open, "rb") as file:
        return await raw.descriptor(request, file.fileno(), {"Content-Type": raw.STREAM})


_BACKUPS = f"{VOLUME}/backups"
_BACKUP = f"{_BACKUPS}/{{backup}}"
ROUTES = [
    web.get(_BACKUPS, everything),
    web.post(_BACKUPS, create),
    web.get(_BACKUP, show),
    web.post(_BACKUP, rename),
    web.delete(_BACKUP, delete),
    web.get(f"{_BACKUP}/export", export),
]
