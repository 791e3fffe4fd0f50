"""Images that arrive as a form of two files. Source: LXD REST API, images; RFC 7578."""

from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import BodyPartReader, web

from lightervisor.api import requests
from lightervisor.errors import Invalid
from lightervisor.images.upload import Part, Received

BLOCK = 1 << 20


class Incoming(Protocol):
    """Where files are received."""

    async def receive(self, blocks: AsyncIterator[bytes], after: Part | None = None) -> Part:
        """Write what arrives to a new file; when it fails, this part is removed, and the one before it too."""
        ...


async def receive(request: web.Request, incoming: Incoming) -> tuple[Received, str]:
    """The parts of a form, metadata first, and the file name that the client gives the first.

    Raises Invalid for a form that is none or has other parts; what was received of it is removed.
    """
    received: Received | None = None
    filename = ""
    try:
        async for part in await request.multipart():
            wanted = "rootfs" if received else "metadata"
            if not isinstance(part, BodyPartReader) or part.name != wanted or (received and received.rootfs):
                raise Invalid("image", text="Invalid multipart image")
            filename = filename or requests.shown(part.filename or "")
            file = await incoming.receive(_blocks(part), received.meta if received else None)
            received = Received(received.meta, file) if received else Received(file, None)
        if received is None:
            raise Invalid("image", text="Invalid multipart image")
    except BaseException as error:
        if received is not None:
            received.discard()
        if isinstance(error, ValueError):  # aiohttp's, for what is no form
            raise Invalid("image", text="Invalid multipart image", remedy=str(error)[:200]) from error
        raise
    return received, filename


async def _blocks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while block := await part.read_chunk(BLOCK):
        yield block
