"""Which block devices hold a path, as cgroups name them: "254:0". Source: sysfs."""

import os
import re
from pathlib import Path

from lightervisor.kernel.sysfs import PROC, SYS, entries, text


def holding(path: Path, sys: Path = SYS, proc: Path = PROC) -> list[str]:
    """The whole disks that a file or directory lies on; none for memory, networks and what lies on several disks.

    What is on overlayfs is written where its upper directory is. Blocking. Raises OSError when the path is not there.
    """
    facts = path.stat()
    # A device node stands for itself: it will be mounted.
    number = facts.st_rdev if facts.st_rdev and path.is_block_device() else facts.st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    if os.major(number):
        return _whole(device, sys)
    # Of file systems with devices of their own making (btrfs, overlay) the table of mounts names the source.
    source = _source(device, proc)
    if source is None:
        return []
    if not source.is_block_device():
        return holding(source, sys, proc) if source.is_dir() and source.stat().st_dev != facts.st_dev else []
    number = source.stat().st_rdev
    return _whole(f"{os.major(number)}:{os.minor(number)}", sys)


def _whole(device: str, sys: Path) -> list[str]:
    node = sys / "dev/block" / device
    if not node.exists():
        return []
    if (node / "partition").exists():
        node = node.resolve().parent
        device = text(node / "dev")
    return [device] if entries(node / "queue") else []


def _source(device: str, proc: Path) -> Path | None:
    """The device of a mounted file system, or the upper directory of an overlay."""
    for line in text(proc / "self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        words = right.split()
        if left.split()[2] != device or len(words) < 2:
            continue
        if words[1].startswith("/"):
            return Path(_plain(words[1]))
        if words[0] == "overlay" and len(words) > 2:
            uppers = [one.removeprefix("upperdir=") for one in words[2].split(",") if one.startswith("upperdir=/")]
            if uppers:
                return Path(_plain(uppers[0]))
    return None


def _plain(path: str) -> str:
    """A path as the kernel writes it into tables: spaces and the like are octal there."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
