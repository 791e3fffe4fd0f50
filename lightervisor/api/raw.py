"""Answers that are files rather than JSON. Source: LXD REST API, raw answers."""

from collections.abc import Mapping

from aiohttp import web

STREAM = "application/octet-stream"
BLOCK = 1 << 20


def headers_of(name: str) -> dict[str, str]:
    """The headers of a file with a name; what a header cannot hold is left out of the name."""
    printable = "".join(character for character in name if character.isprintable() and character not in '";')
    return {"Content-Disposition": f"inline;filename={printable}", "Content-Type": STREAM}


def content(data: bytes, name: str) -> web.Response:
    """A file that is in memory."""
    return web.Response(body=data, headers=headers_of(name))


async def descriptor(request: web.Request, fd: int, headers: Mapping[str, str]) -> web.StreamResponse:
    """A regular file that is open, with ranges; sent whole before this returns, the caller closes it."""
    response = web.FileResponse(f"/proc/self/fd/{fd}", chunk_size=BLOCK, headers=dict(headers))
    await response.prepare(request)
    return response
