"""Files on their way into the store: written, hashed and counted while they arrive, never held in memory."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from lightervisor.errors import HostError

BLOCK = 1 << 20


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes in."""
        ...

    def copy(self) -> "Digest":
        """Another that has seen the same."""
        ...

    def hexdigest(self) -> str:
        """What has been seen, as text."""
        ...


class Part(NamedTuple):
    """One file of an image; `digest` has seen its bytes, and before them those of the part it came after."""

    path: Path
    size: int
    digest: Digest


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
        """Remove what was not taken into the store."""
        for part in (self.meta, self.rootfs):
            if part is not None:
                part.path.unlink(missing_ok=True)


async def receive(directory: Path, blocks: AsyncIterator[bytes], after: Part | None = None) -> Part:
    """Write what arrives to a new file in a directory, durably. Raises HostError when the disk is full.

    When it fails, this part is removed, and the one before it too.
    """
    path = directory / os.urandom(16).hex()
    writer = _Writer(path, after)
    try:
        waiting = bytearray()
        async for block in blocks:
            waiting += block
            if len(waiting) >= BLOCK:
                await asyncio.to_thread(writer.write, bytes(waiting))
                waiting.clear()
        return await asyncio.to_thread(writer.finish, bytes(waiting))
    except BaseException:
        writer.abandon()
        raise


def take(path: Path, after: Part | None = None) -> Part:
    """A file that is there already, read to be hashed. Blocking."""
    digest: Digest = after.digest.copy() if after else hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
        os.fsync(file.fileno())
    return Part(path, size, digest)


class _Writer:
    def __init__(self, path: Path, after: Part | None) -> None:
        self._path, self._after, self._size = path, after, 0
        self._digest: Digest = after.digest.copy() if after else hashlib.sha256()
        self._file: IO[bytes] = path.open("wb", buffering=0)

    def write(self, block: bytes) -> None:
        self._digest.update(block)
        self._size += len(block)
        view = memoryview(block)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            cause = error.strerror or str(error)
            raise HostError("image store", cause=cause, remedy="free some space, then upload again") from error

    def finish(self, block: bytes) -> Part:
        self.write(block)
        os.fsync(self._file.fileno())
        self._file.close()
        return Part(self._path, self._size, self._digest)

    def abandon(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        for path in (self._path, self._after.path if self._after else self._path):
            path.unlink(missing_ok=True)
