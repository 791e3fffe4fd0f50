"""Files on their way into the store: written, hashed and counted while they arrive, never held in memory."""

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from lightervisor.errors import HostError
from lightervisor.kernel.threads import finished

BLOCK = 1 << 20
RESERVE = 64 << 20
"""Bytes that receiving leaves free for the database beside the images; of a small disk, a twentieth."""


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes | bytearray, /) -> None:
        """Take more bytes in."""
        ...

    def copy(self) -> "Digest":
        """Another that has seen the same."""
        ...

    def hexdigest(self) -> str:
        """What has been seen, as text."""
        ...


class Part(NamedTuple):
    """One file of an image; `digest` has seen its bytes, and before them those of the part it came after.

    `is_resumed` says that it began with what an earlier download had left.
    """

    path: Path
    size: int
    digest: Digest
    is_resumed: bool = False


class Received(NamedTuple):
    """A whole image, in the incoming directory: one file, or metadata and root file system."""

    meta: Part
    rootfs: Part | None

    @property
    def fingerprint(self) -> str:
        """The sha256 of the file, or of both in their order. Source: LXD, image fingerprints."""
        return (self.rootfs or self.meta).digest.hexdigest()

    @property
    def size(self) -> int:
        """Bytes of both files."""
        return self.meta.size + (self.rootfs.size if self.rootfs else 0)

    def discard(self) -> None:
        """Remove what was not taken into the store; what cannot be removed now goes with the next start."""
        for part in (self.meta, self.rootfs):
            if part is not None:
                with contextlib.suppress(OSError):
                    part.path.unlink()


async def receive(directory: Path, blocks: AsyncIterator[bytes], after: Part | None = None) -> Part:
    """Write what arrives to a new file in a directory, durably. Raises HostError when the disk is full.

    When it fails, this part is removed, and the one before it too.
    """
    writer = Writer(directory / os.urandom(16).hex(), after)
    try:
        await pour(blocks, writer)
        return await asyncio.to_thread(writer.finish)
    except BaseException:
        writer.abandon()
        if after is not None:
            after.path.unlink(missing_ok=True)
        raise


async def pour(blocks: AsyncIterator[bytes], writer: "Writer") -> None:
    """Write what arrives, a megabyte at a time on another thread; also when it breaks off, as far as it came."""
    waiting = bytearray()
    try:
        async for block in blocks:
            waiting += block
            if len(waiting) >= BLOCK:
                full, waiting = waiting, bytearray()
                await finished(asyncio.to_thread(writer.write, full))
    finally:
        writer.write(waiting)


def take(path: Path, after: Part | None = None) -> Part:
    """A file that is there already, read to be hashed. Blocking."""
    return Writer.resumed(path, after).finish()


def check_space(descriptor: int, wanted: int = 0) -> None:
    """Raise HostError when so many bytes more than `RESERVE` are not free where a file is."""
    found = os.fstatvfs(descriptor)
    reserve = min(RESERVE, found.f_blocks * found.f_frsize // 20)
    if found.f_bavail * found.f_frsize < reserve + wanted:
        raise unwritable(os.strerror(errno.ENOSPC))


def unwritable(cause: str) -> HostError:
    """The failure of writing to the store."""
    return HostError("image store", cause=cause, remedy="free some space, then try again")


class Writer:
    """A file that is being received: written, hashed and counted. Its methods block.

    It leaves some space free (`RESERVE`): an upload without an end is not the end of the host.
    """

    def __init__(self, path: Path, after: Part | None = None) -> None:
        self._path, self._after = path, after
        self._file: IO[bytes] = path.open("ab", buffering=0)
        self._is_resumed = False
        self.size = 0
        self._digest: Digest = after.digest.copy() if after else hashlib.sha256()

    @classmethod
    def resumed(cls, path: Path, after: Part | None = None) -> "Writer":
        """Go on behind what a file holds already, if it is there."""
        writer = cls(path, after)
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                writer._digest.update(block)
                writer.size += len(block)
        writer._is_resumed = writer.size > 0
        return writer

    def begin_again(self) -> None:
        """Forget what was received."""
        self._file.truncate(0)
        self.size, self._is_resumed = 0, False
        self._digest = self._after.digest.copy() if self._after else hashlib.sha256()

    def write(self, block: bytes | bytearray) -> None:
        """Append. Raises HostError when there is no space."""
        if not block:
            return
        check_space(self._file.fileno(), len(block))
        try:
            view = memoryview(block)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise unwritable(error.strerror or str(error)) from error
        self._digest.update(block)
        self.size += len(block)

    def finish(self) -> Part:
        """All is there: make it durable."""
        os.fsync(self._file.fileno())
        self._file.close()
        return Part(self._path, self.size, self._digest, self._is_resumed)

    def suspend(self) -> None:
        """Leave what came so far, to be gone on with later."""
        with contextlib.suppress(OSError):
            self._file.close()

    def abandon(self) -> None:
        """Remove what came so far."""
        self.suspend()
        self._path.unlink(missing_ok=True)
