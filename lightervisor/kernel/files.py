"""The daemon's own small files. Not for paths of guests and images: those are `paths`."""

import os
from pathlib import Path


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


def temporary(path: Path) -> Path:
    """Where `write_whole` writes first."""
    return path.with_name(f".{path.name}.new")


def discard(path: Path) -> None:
    """Remove a file written so, and what a dead writer left; nothing happens when there is none."""
    temporary(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
