"""File systems that are small, and full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.harness.processes import run


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of this size on an empty directory; both go with the context."""
    run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "none", place]).ok()
    try:
        yield
    finally:
        run(["umount", place]).ok()
        place.rmdir()


@contextmanager
def filled(folder: Path, *, but_bytes: int = 0) -> Iterator[None]:
    """All the space that there is in a directory is used, `but` so much, for as long as the context lasts."""
    file = folder / "filler"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    os.write(descriptor, bytes(size))
        os.truncate(descriptor, os.fstat(descriptor).st_size - but_bytes)
    finally:
        os.close(descriptor)
    try:
        yield
    finally:
        file.unlink()
