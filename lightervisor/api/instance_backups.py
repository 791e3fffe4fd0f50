"""/1.0/instances/{name}/backups. Source: LXD REST API, instance backups.

Who accepts application/octet-stream when making one gets the archive itself as the answer, and nothing is kept. Source:
Incus REST API, direct_backup.
"""

import asyncio
from contextlib import suppress

from aiohttp import web

from lightervisor.api import envelope, raw, urls
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.requests import body, recursion, requestor
from lightervisor.api.services import offered, services
from lightervisor.backups.backups import Backups, Stream
from lightervisor.errors import Failure, Invalid
from lightervisor.model.backup import InstanceBackupPost, InstanceBackupsPost
from lightervisor.operations.operations import FAILURE, Operations

BLOCK = 1 << 20


def _backup(request: web.Request) -> tuple[str, str, str]:
    return *named(request), request.match_info["backup"]


def _backups(request: web.Request) -> Backups:
    return offered(services(request).backups, "backup")


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}/backups: URLs or objects, the oldest first."""
    found, (project, instance) = _backups(request), named(request)
    if recursion(request):
        return envelope.sync(found.all_of(project, instance))
    names = found.names(project, instance)
    return envelope.sync([urls.of("instances", instance, "backups", name, project=project) for name in names])


async def create(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}/backups."""
    found, post = _backups(request), await body(request, InstanceBackupsPost)
    if raw.STREAM in request.headers.get("Accept", ""):
        return await sent(request, services(request).operations, found.stream(*named(request), post))
    return envelope.background(found.create(*named(request), post, requestor(request)))


async def sent(request: web.Request, operations: Operations, stream: Stream) -> web.StreamResponse:
    """The archive while it is made; one that fails when it has begun ends the connection before the last chunk."""
    identity = stream.operation.id
    try:
        async with stream.pipe as reader:
            block = await reader.read(BLOCK)
            if not block:
                done = await operations.wait(identity, None)
                raise Failure("backup", text=done.err or "Nothing was packed")
            headers = {"Content-Type": raw.STREAM, "Location": urls.of("operations", identity)}
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            while block:
                await response.write(block)
                block = await reader.read(BLOCK)
        done = await operations.wait(identity, None)
        if done.status_code >= FAILURE:
            _cut(request)
            return response
        await response.write_eof()
        return response
    finally:
        with suppress(Failure):  # it has ended
            operations.cancel(identity)


def _cut(request: web.Request) -> None:
    """What was sent is not the whole, and the client can tell."""
    if request.transport is not None:
        request.transport.abort()


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}/backups/{backup}."""
    return envelope.sync(_backups(request).get(*_backup(request)))


async def rename(request: web.Request) -> web.StreamResponse:
    """POST /1.0/instances/{name}/backups/{backup}: rename."""
    post = await body(request, InstanceBackupPost)
    if not post.name:
        raise Invalid("backup", text="No name provided")
    return envelope.background(_backups(request).rename(*_backup(request), post.name, requestor(request)))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/instances/{name}/backups/{backup}."""
    return envelope.background(_backups(request).delete(*_backup(request), requestor(request)))


async def export(request: web.Request) -> web.StreamResponse:
    """GET /1.0/instances/{name}/backups/{backup}/export: the file."""
    path = _backups(request).file(*_backup(request), requestor(request))
    with await asyncio.to_thread(path.open, "rb") as file:
        return await raw.descriptor(request, file.fileno(), {"Content-Type": raw.STREAM})


ROUTES = [
    *routes("GET", "/{name}/backups", everything),
    *routes("POST", "/{name}/backups", create),
    *routes("GET", "/{name}/backups/{backup}", show),
    *routes("POST", "/{name}/backups/{backup}", rename),
    *routes("DELETE", "/{name}/backups/{backup}", delete),
    *routes("GET", "/{name}/backups/{backup}/export", export),
]
