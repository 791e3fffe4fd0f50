"""/1.0/storage-pools/<pool>/volumes. Source: LXD REST API, storage volumes."""

import msgspec
from aiohttp import web
from msgspec import UNSET

from lightervisor.api import callers, envelope, etag, filters, raw, urls
from lightervisor.api.requests import body, header, project, projects, recursion, refuse_member, requestor
from lightervisor.api.services import offered, services
from lightervisor.config.names import VolumePlace
from lightervisor.errors import Forbidden, Invalid, NotFound, Unsupported
from lightervisor.model.storage_volume import StorageVolume, StorageVolumePost, StorageVolumePut, StorageVolumesPost
from lightervisor.storage.volume_rules import changed

BLOCK = 1 << 20


def _etag(one: StorageVolume) -> str:
    return etag.of([one.name, one.type, one.config])


def _place(request: web.Request) -> tuple[str, str, str, str]:
    """Pool, project, type and name of a volume."""
    found = request.match_info
    return found["pool"], project(request), found["type"], found["name"]


def place(request: web.Request) -> VolumePlace:
    """A volume that can be changed. Raises Unsupported for others than custom ones."""
    pool, chosen, type, name = _place(request)
    if type != "custom":
        services(request).volumes.get(pool, chosen, type, name)
        cause = f"volumes of type {type} are changed through what they belong to"
        raise Unsupported("storage volume", name, cause=cause)
    return VolumePlace(pool, chosen, name)


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/storage-pools/{pool}/volumes and .../{type}."""
    pool, type = request.match_info["pool"], request.match_info.get("type", "")
    listed = services(request).volumes.list(pool, projects(request), type)
    found = await filters.matching(request.query.get("filter", ""), listed)
    if recursion(request):
        return envelope.sync(found)
    return envelope.sync([_url(pool, one) for one in found])


def _url(pool: str, one: StorageVolume) -> str:
    name, slash, snapshot = one.name.partition("/")
    below = ("snapshots", snapshot) if slash else ()
    return urls.of("storage-pools", pool, "volumes", one.type, name, *below, project=one.project)


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/storage-pools/{pool}/volumes, with the type in the body, and .../{type}."""
    refuse_member(request)
    if request.content_type == raw.STREAM:
        return await _restore(request)
    post = await body(request, StorageVolumesPost)
    type = request.match_info.get("type")
    if type is not None:
        post = msgspec.structs.replace(post, type=type)
    found, where = services(request), (request.match_info["pool"], project(request))
    if post.source.type == "migration":
        receiving = offered(found.volume_receiving, "storage volume")
        return envelope.background(receiving.receive(*where, post, requestor(request)))
    if post.source.type not in ("", "copy"):
        raise Invalid("source", text=f'Unknown source type "{post.source.type}"')
    if post.source.name:
        return envelope.background(found.volume_copying.copy(*where, post, requestor(request)))
    await found.volumes.create(*where, post, requestor(request))
    return envelope.sync()


async def _restore(request: web.Request) -> web.StreamResponse:
    """An archive as the body: receive it, check it, make a volume of it."""
    found = offered(services(request).volume_restoring, "backup")
    where = (request.match_info["pool"], project(request))
    received = await found.receive(*where, request.content.iter_chunked(BLOCK), header(request, "X-LXD-name"))
    try:
        callers.confirm(request)
    except Forbidden:
        received.upload.discard()
        raise
    return envelope.background(found.restore(received, requestor(request)))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/storage-pools/{pool}/volumes/{type}/{name}."""
    refuse_member(request)
    one = services(request).volumes.get(*_place(request))
    return envelope.sync(one, etag=_etag(one))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/storage-pools/{pool}/volumes/{type}/{name}."""
    return await _change(request, merge=False)


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/storage-pools/{pool}/volumes/{type}/{name}."""
    return await _change(request, merge=True)


async def _change(request: web.Request, *, merge: bool) -> web.StreamResponse:
    refuse_member(request)
    found, where = services(request).volumes, place(request)
    put = await body(request, StorageVolumePut)
    etag.check(request.headers.get("If-Match"), _etag(found.get(*_place(request))))
    if put.restore:
        changed(where, found.get(*_place(request)).config, put, merge=merge)  # refused before anything is done
        await services(request).volume_snapshots.restore(place(request), put.restore, requestor(request))
        if put.config is UNSET:
            return envelope.sync()
    await found.replace(*where, put, requestor(request), merge=merge)
    return envelope.sync()


async def rename(request: web.Request) -> web.StreamResponse:
    """POST /1.0/storage-pools/{pool}/volumes/{type}/{name}."""
    refuse_member(request)
    where = place(request)
    pool, chosen, name = where
    post = await body(request, StorageVolumePost)
    if post.migration:
        sending = offered(services(request).volume_sending, "storage volume")
        return envelope.background(sending.send(where, post))
    if post.project not in ("", chosen):
        raise NotFound("project", post.project)
    if post.pool not in ("", pool):
        target = VolumePlace(post.pool, chosen, post.name)
        return envelope.background(services(request).volume_moving.move(where, target, requestor(request)))
    await services(request).volumes.rename(pool, chosen, name, post.name, requestor(request))
    return envelope.created(urls.of("storage-pools", pool, "volumes", "custom", post.name, project=chosen))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/storage-pools/{pool}/volumes/{type}/{name}."""
    refuse_member(request)
    await services(request).volumes.delete(*_place(request), requestor(request))
    return envelope.sync()


async def state(request: web.Request) -> web.StreamResponse:
    """GET /1.0/storage-pools/{pool}/volumes/{type}/{name}/state."""
    return envelope.sync(await services(request).volumes.state(*_place(request)))


_VOLUMES = "/1.0/storage-pools/{pool}/volumes"
VOLUME = f"{_VOLUMES}/{{type}}/{{name}}"
ROUTES = [
    web.get(_VOLUMES, everything),
    web.post(_VOLUMES, create),
    web.get(f"{_VOLUMES}/{{type}}", everything),
    web.post(f"{_VOLUMES}/{{type}}", create),
    web.get(VOLUME, show),
    web.put(VOLUME, replace),
    web.patch(VOLUME, merge),
    web.post(VOLUME, rename),
    web.delete(VOLUME, delete),
    web.get(f"{VOLUME}/state", state),
]
