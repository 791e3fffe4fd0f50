"""What a console has shown since the start of its container: files that liblxc writes, at most two of 128 KiB.

liblxc's ring buffer is not used: reading it empties it, and at the end it replaces the log by what nobody has read yet.
Functions are blocking. Source: lxc.container.conf(5), lxc.console.size and lxc.console.rotate.
"""

import os
from pathlib import Path

from lightervisor.runtime.spec import Lines

NAME = "console.log"
LONGEST = 128 << 10


def lines(directory: Path) -> Lines:
    """liblxc's configuration."""
    path = str(directory / NAME)
    return [("lxc.console.size", "auto"), ("lxc.console.rotate", "1"), ("lxc.console.logfile", path)]


def read(directory: Path) -> bytes:
    """The last 128 KiB. Raises FileNotFoundError when it was never started."""
    recent = (directory / NAME).read_bytes()
    try:
        older = (directory / f"{NAME}.1").read_bytes()
    except FileNotFoundError:
        older = b""
    return (older + recent)[-LONGEST:]


def clear(directory: Path) -> None:
    """Forget it; liblxc goes on behind. Raises FileNotFoundError when it was never started."""
    os.truncate(directory / NAME, 0)
    (directory / f"{NAME}.1").unlink(missing_ok=True)


def remove(directory: Path) -> None:
    """Take away what an earlier start has left."""
    for name in (NAME, f"{NAME}.1"):
        (directory / name).unlink(missing_ok=True)
