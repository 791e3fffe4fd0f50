"""Files that are being downloaded: gone on with after an interruption, of the connection or of the daemon.

A file is kept under the fingerprint of its image, so what is there is never mixed with another's. Whether the bytes
are right is not known here: the image's hash tells.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import aiohttp
from msgspec import Struct

from lightervisor.client.https import Peer, plain, shown
from lightervisor.config import sizes
from lightervisor.errors import Failure, Invalid, NotFound, Unavailable
from lightervisor.images.meter import Progress
from lightervisor.images.upload import Part, Writer, pour

TRIES = 5
Instead = Callable[[aiohttp.ClientResponse], Awaitable[bool]]
KEPT_S = 24 * 3600
_EVERY_S = 0.5


class Gauge:
    """How far a download is, told twice a second in LXD's words: rootfs: 12% (3.40MB/s)."""

    def __init__(self, label: str, total: int, tell: Progress, *, done: int = 0) -> None:
        self._label, self._total, self._tell = label, total, tell
        self._done, self._before = done, done
        self._begun = self._told = time.monotonic()

    def add(self, count: int) -> None:
        """More bytes have come."""
        self._done += count
        now = time.monotonic()
        if now - self._told >= _EVERY_S or 0 < self._total <= self._done:
            self._told = now
            speed = (self._done - self._before) / max(now - self._begun, 0.001)
            # Without a length there is nothing to be a percentage of: then it is how much there is.
            far = f"{min(100, 100 * self._done // self._total)}%" if self._total else sizes.human(self._done)
            self._tell(f"{self._label}: {far} ({sizes.human(speed)}/s)")


class RemoteFile(Struct, frozen=True, kw_only=True):
    """A file of a server. `size` is 0 when it is not told before; `label` is what it is called while it comes."""

    url: str
    size: int = 0
    label: str = "rootfs"


class Partials:
    """The directory of such files."""

    def __init__(self, directory: Path, *, pause_s: float = 1) -> None:
        self._directory, self._pause_s = directory, pause_s
        self._busy: dict[str, asyncio.Lock] = {}

    def forget_old(self) -> None:
        """Remove what nobody went on with for a day."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # a download that ends takes its file away
                if time.time() - entry.stat().st_mtime > KEPT_S:
                    entry.unlink()

    async def fetch(
        self,
        peer: Peer,
        file: RemoteFile,
        name: str,
        tell: Progress,
        *,
        after: Part | None = None,
        instead: Instead | None = None,
    ) -> Part | None:
        """A file of a server, whole: what an earlier attempt left of it is not asked for again.

        `name` is the fingerprint and, of a part, what kind of part. `instead` looks at each answer first; when it takes
        one, nothing more is done and None is returned. A connection that breaks off is made again as long as something
        came through the last one. Raises Unavailable, NotFound, Invalid when there is more than there should be, and
        HostError without space.
        """
        if not re.fullmatch(r"[0-9a-f]{64}(\.[a-z]+)?", name):
            raise Invalid("image fingerprint", name, cause="it is not a sha256")
        async with self._busy.setdefault(name, asyncio.Lock()):
            writer = await asyncio.to_thread(Writer.resumed, self._directory / name, after)
            job = _Job(peer, file, writer, tell, instead)
            try:
                if await self._go_on(job):
                    return await asyncio.to_thread(writer.finish)
                writer.abandon()
            except Invalid:
                writer.abandon()
                raise
            except BaseException:
                writer.suspend()
                raise
        return None

    async def _go_on(self, job: "_Job") -> bool:
        tries = 0
        while True:
            before = job.writer.size
            try:
                return await job.attempt()
            except Unavailable:
                tries = 1 if job.writer.size > before else tries + 1
                if job.writer.size == 0 or tries >= TRIES:
                    raise
                await asyncio.sleep(self._pause_s * tries)


class _Job(NamedTuple):
    """One file on its way from a server to a writer."""

    peer: Peer
    file: RemoteFile
    writer: Writer
    tell: Progress
    instead: Instead | None

    async def attempt(self) -> bool:
        """Ask for what is missing and write it; False when the answer was taken by `instead`."""
        writer, size = self.writer, self.file.size
        if size and writer.size > size:
            writer.begin_again()
        if size and writer.size == size:
            return True
        start = writer.size
        headers = {"Range": f"bytes={start}-"} if start else None
        async with self.peer.request("GET", self.file.url, headers=headers) as response:
            if self.instead is not None and await self.instead(response):
                return False
            if start and not _goes_on(response, start):
                writer.begin_again()
                if response.status == 416:  # it is shorter there than what we have
                    return await self.attempt()
            if response.status not in (200, 206):
                raise refused(response)
            await pour(self._counted(response), writer)
        if writer.size < size:
            raise Unavailable("image server", response.url.host or "", cause=f"{shown(self.file.url)} ends too early")
        return True

    async def _counted(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        seen, size = self.writer.size, self.file.size
        gauge = Gauge(self.file.label, size or seen + (response.content_length or 0), self.tell, done=seen)
        async for block in self.peer.blocks(response):
            seen += len(block)
            if size and seen > size:
                cause = f"{shown(self.file.url)} is longer than the {size} bytes that it should have"
                raise Invalid("image", cause=cause)
            gauge.add(len(block))
            yield block


def _goes_on(response: aiohttp.ClientResponse, start: int) -> bool:
    """Whether an answer is the rest that was asked for, from `start` on."""
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def refused(response: aiohttp.ClientResponse) -> Failure:
    """The failure for an answer that is no file. Source: LXD's text."""
    text = plain(f"Unable to fetch {shown(str(response.url))}: {response.status} {response.reason or ''}")
    kind = NotFound if response.status in (404, 410) else Failure
    return kind("image file", text=text)
