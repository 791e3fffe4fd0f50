"""The daemon's own small files. Not for paths of guests and images: those are `paths`."""

import os
from contextlib import suppress
from pathlib import Path

from lightervisor.kernel import syscalls


def write_whole(path: Path, text: str, mode: int = 0o644, *, durable: bool = False) -> None:
    """Write a file so that a reader sees all of it or what was there before, also when the writer dies.

    With `durable` that holds for a power cut too: the bytes are on disk before the name is.
    Raises OSError; then nothing is left beside it. A writer that dies may leave `temporary(path)`.
    """
    beside = temporary(path)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
            if durable:
                file.flush()
                os.fsync(descriptor)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def give_back(path: Path, length: int) -> None:
    """Free the space of the beginning of a file that nobody reads any more, where the file system can.

    Nothing happens when it cannot, or when the file is gone.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            syscalls.punch(descriptor, length)
        finally:
            os.close(descriptor)


def temporary(path: Path) -> Path:
    """Where `write_whole` writes first."""
    return path.with_name(f".{path.name}.new")


def discard(path: Path) -> None:
    """Remove a file written so, and what a dead writer left; nothing happens when there is none."""
    temporary(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
