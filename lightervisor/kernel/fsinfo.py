"""What a file system is and how full it is. Source: statfs(2), statvfs(3), linux/magic.h."""

import os
from pathlib import Path

from msgspec import Struct

from lightervisor.kernel import syscalls

_TYPES = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x2FC12FC1: "zfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlay",
    0x65735546: "fuse",
    0x6969: "nfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
}


class Space(Struct, frozen=True, kw_only=True):
    """Bytes and inodes of a file system; `free` is what the file system gives to anyone, not to root alone."""

    total: int
    used: int
    free: int
    inodes_total: int
    inodes_used: int


def type_name(path: Path) -> str:
    """The type of a path's file system, as mount(8) names it; the kernel's number in hex if it is none of ours."""
    magic = syscalls.file_system_magic(path)
    return _TYPES.get(magic, hex(magic))


def device_of(number: int) -> str:
    """The path of a block device by its number, "" for a file system that has none."""
    try:
        link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").readlink()
    except OSError:
        return ""
    return f"/dev/{link.name}"


def space(path: Path) -> Space:
    """How full a path's file system is. Raises OSError."""
    found = os.statvfs(path)
    return Space(
        total=found.f_blocks * found.f_frsize,
        used=(found.f_blocks - found.f_bfree) * found.f_frsize,
        free=found.f_bavail * found.f_frsize,
        inodes_total=found.f_files,
        inodes_used=found.f_files - found.f_ffree,
    )


def is_full(path: Path) -> bool:
    """Whether nothing more can be written: less than a block of room, or no inode left where they are counted."""
    found = os.statvfs(path)
    return found.f_bavail == 0 or (found.f_files > 0 and found.f_ffree == 0)


def existing_parent(path: Path) -> Path:
    """The path itself, or the nearest directory above it that exists."""
    return next(one for one in (path, *path.parents) if one.exists())
