"""What keeps an archive from eating the host: its unpacked size, the space left, and a way to stop.

A meter also tells how far an unpacking is. It is called from the worker thread that moves the bytes.
"""

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from lightervisor.errors import Failure, HostError, Invalid

Progress = Callable[[str], None]
_EVERY_S = 0.25


class Limits(Struct, frozen=True, kw_only=True):
    """How much an archive may become: `base` bytes, and `ratio` times its own size; what it must leave free."""

    base: int = 2 << 30
    ratio: int = 200
    reserve: int = 256 << 20
    reserve_inodes: int = 1024


class Meter:
    """One unpacking of an archive; `target` is where to, or None when it is only read.

    `size` is how many bytes it has, or what tells how many have come so far.
    """

    def __init__(
        self,
        size: int | Callable[[], int],
        target: Path | None = None,
        progress: Progress | None = None,
        *,
        limits: Limits | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._told = size if callable(size) else lambda: size
        self._target, self._progress = target, progress
        self._limits, self._stop = limits or Limits(), stop or threading.Event()
        self._written = 0
        self._followed: int | None = None
        self._passed: Callable[[int], None] | None = None
        self._begun = self._checked = time.monotonic()
        self._free_before = self._free()

    @property
    def _size(self) -> int:
        return self._told()

    @property
    def _most(self) -> int:
        return self._limits.base + self._limits.ratio * self._size

    def written(self, count: int) -> None:
        """Note unpacked bytes. Raises Invalid for a bomb, HostError without space, Failure when it is to stop."""
        self._written += count
        if self._written > self._most:
            raise Invalid("image", cause=f"the archive of {self._size} bytes unpacks to more than {self._most} bytes")
        if time.monotonic() - self._checked >= _EVERY_S:
            self.check()

    @contextmanager
    def following(self, archive: int) -> Generator[None, None, None]:
        """Show progress by how far an archive has been read, by us or a program that has it as its input.

        It must stay open for as long.
        """
        self._followed = archive
        try:
            yield
        finally:
            self._followed = None

    def when_read(self, passed: Callable[[int], None]) -> None:
        """Have this told, now and then, how many bytes of the archive nobody reads again."""
        self._passed = passed

    def check(self) -> None:
        """Look at the space left and show how far it is."""
        self._checked = time.monotonic()
        if self._stop.is_set():
            raise Failure("image", cause="unpacking was cancelled")
        if self._target is None:
            return
        position = os.lseek(self._followed, 0, os.SEEK_CUR) if self._followed is not None else 0
        if self._passed is not None and position:
            self._passed(position)
        space, inodes = self._free()
        if space < self._limits.reserve or inodes < self._limits.reserve_inodes:
            raise no_space()
        if self._free_before[0] - space > self._most:
            raise Invalid("image", cause=f"the archive of {self._size} bytes unpacks to more than {self._most} bytes")
        if self._progress is not None and self._size and self._followed is not None:
            speed = position / max(self._checked - self._begun, 0.001) / 1e6
            self._progress(f"Unpack: {min(100, 100 * position // self._size)}% ({speed:.2f}MB/s)")

    def _free(self) -> tuple[int, int]:
        if self._target is None:
            return 0, 0
        found = os.statvfs(self._target)
        return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else 1 << 62


def no_space() -> HostError:
    """The one message for a full file system."""
    return HostError(
        "image",
        text="No space left on the file system of the storage pool",
        remedy="free some space there, or choose another pool with --storage",
    )
