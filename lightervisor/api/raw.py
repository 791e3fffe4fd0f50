"""Answers that are files rather than JSON. Source: LXD REST API, raw answers; RFC 9110, range requests."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from email.utils import format_datetime
from functools import partial
from typing import Any

from aiohttp import web

from lightervisor.api import callers
from lightervisor.model import times

Work = Callable[..., Awaitable[Any]]
STREAM = "application/octet-stream"
BLOCK = 1 << 20
SMALL_BLOCK = 64 << 10
GUESTS_WITH_LARGE_BLOCKS = 16
_guests: set[int] = set()
EVERYTHING = slice(None)


def headers_of(name: str) -> dict[str, str]:
    """The headers of a file with a name; what a header cannot hold is left out of the name."""
    printable = "".join(character for character in name if character.isprintable() and character not in '";')
    return {"Content-Disposition": f"inline;filename={printable}", "Content-Type": STREAM}


def content(data: bytes, name: str) -> web.Response:
    """A file that is in memory."""
    return web.Response(body=data, headers=headers_of(name))


async def descriptor(
    request: web.Request,
    fd: int,
    headers: Mapping[str, str],
    *,
    modified_ns: int | None = None,
    work: Work = asyncio.to_thread,
) -> web.StreamResponse:
    """A regular file that is open, from its start, whole or the range that was asked for; the caller closes it.

    `modified_ns` (since the epoch) is the file's own unless given. A file that shrinks meanwhile ends the connection,
    as its length has been promised; of one that grows the promised part is sent. What waits for its file system is done
    by `work`.
    """
    status: os.stat_result = await work(os.fstat, fd)
    modified = times.of_file(status.st_mtime_ns if modified_ns is None else modified_ns)
    headers = {**headers, "Accept-Ranges": "bytes", "Last-Modified": format_datetime(modified, usegmt=True)}
    if (since := request.if_modified_since) is not None and modified <= since:
        return web.Response(status=304, headers=headers)
    wanted = _range(request)
    start, end, _ = wanted.indices(status.st_size)
    if wanted.start is not None and wanted.start >= status.st_size:
        headers = {"Content-Range": f"bytes */{status.st_size}", "Content-Type": "text/plain; charset=utf-8"}
        return web.Response(status=416, headers=headers, body=b"invalid range: failed to overlap\n")
    response = web.StreamResponse(headers=headers)
    if wanted != EVERYTHING:
        response.set_status(206)
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{status.st_size}"
    response.content_length = end - start
    await response.prepare(request)
    with _block_size(request) as size:
        start = await _send(response, partial(work, os.pread, fd), start, end, size)
    if start < end:
        response.force_close()
    await response.write_eof()
    return response


async def _send(
    response: web.StreamResponse, pread: Callable[..., Awaitable[bytes]], start: int, end: int, size: int
) -> int:
    """Send a part of a file; up to where it went. The next block is read while TLS encrypts this one."""

    def read(place: int) -> asyncio.Future[bytes]:
        return asyncio.ensure_future(pread(min(size, end - place), place))

    coming = read(start)
    try:
        while block := await coming:
            start += len(block)
            coming = read(start)
            await response.write(block)
    finally:
        await asyncio.wait([coming])  # a thread that reads cannot be cancelled, and the caller closes the file
    return start


@contextmanager
def _block_size(request: web.Request) -> Generator[int, None, None]:
    """How much is read at a time. TLS keeps it several times over for one who does not take it, so few guests get much.

    Small blocks are slower, but a thousand guests with large ones would take gigabytes.
    """
    if callers.of(request).is_trusted:
        yield BLOCK
    elif len(_guests) >= GUESTS_WITH_LARGE_BLOCKS:
        yield SMALL_BLOCK
    else:
        _guests.add(id(request))
        try:
            yield BLOCK
        finally:
            _guests.discard(id(request))


def _range(request: web.Request) -> slice:
    """The bytes asked for; several ranges, or what is none, are everything, as RFC 9110 allows."""
    if "Range" not in request.headers or "If-Range" in request.headers:
        return EVERYTHING
    try:
        return request.http_range
    except ValueError:
        return EVERYTHING
