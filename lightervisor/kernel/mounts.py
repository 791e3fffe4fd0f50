"""Mounts: attach, take away, look, and show a directory with the owners of an id map.

A detached mount is a descriptor until it is attached, so nothing half made is ever seen in the mount table.
Source: mount_setattr(2), Documentation/filesystems/idmappings.rst.
"""

import errno
import os
from pathlib import Path

from lightervisor.kernel import syscalls


def is_mountpoint(path: Path) -> bool:
    """Whether something is mounted at a path itself; also for bind mounts, which os.path.ismount misses."""
    return syscalls.is_mount_root(path)


def mountpoints() -> set[str]:
    """Where something is mounted in this mount namespace. Source: proc_pid_mountinfo(5)."""
    table = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    places = [line.split(" ", 5)[4] for line in table.splitlines()]
    for escaped, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        places = [place.replace(escaped, character) for place in places]
    return set(places)


def mount(source: str | Path, target: Path, type: str = "", *, flags: int = 0, data: str = "") -> None:
    """Mount by mount(2). Raises OSError."""
    syscalls.mount(source, target, type, flags, data)


def bind(source: Path, target: Path, *, recursive: bool = False, readonly: bool = False) -> None:
    """Show a directory or file at another place, never with less restrictions than it has. Raises OSError."""
    tree = detached(source, recursive=recursive, readonly=readonly)
    try:
        syscalls.move_mount(tree, target)
    finally:
        os.close(tree)


def detached(source: Path, *, recursive: bool = False, readonly: bool = False) -> int:
    """A clone of what is mounted at a path, that is attached nowhere yet: the caller's to close. Raises OSError."""
    tree = syscalls.open_tree(source, recursive=recursive)
    try:
        if readonly:
            syscalls.mount_setattr(tree, set=syscalls.MOUNT_ATTR_RDONLY, recursive=recursive)
    except OSError:
        os.close(tree)
        raise
    return tree


def umount(target: Path, *, lazy: bool = False) -> None:
    """Take away all that is mounted at a path; nothing happens when nothing is.

    `lazy` takes it out of sight when someone still uses it, and lets it go when they end. Raises OSError.
    """
    while is_mountpoint(target):
        _umount_uppermost(target, lazy=lazy)


def umount_alone(target: Path) -> None:
    """Take away all that is mounted at a path of ours and below, lazily, and nothing anywhere else.

    What was bound from a shared mount is its peer: without this, what is mounted below the source would go too.
    Raises OSError.
    """
    while is_mountpoint(target):
        syscalls.mount("none", target, "", syscalls.MS_REC | syscalls.MS_PRIVATE, "")
        _umount_uppermost(target, lazy=True)


def _umount_uppermost(target: Path, *, lazy: bool) -> None:
    try:
        syscalls.umount2(target, syscalls.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.EBUSY or not lazy:
            raise
        syscalls.umount2(target, syscalls.UMOUNT_NOFOLLOW | syscalls.MNT_DETACH)


def idmapped_tree(source: Path, namespace: int, *, recursive: bool = False) -> int:
    """A detached clone of a directory with the id map of a user namespace: the caller's to close.

    Raises OSError; EINVAL when the file system cannot be id-mapped.
    """
    tree = syscalls.open_tree(source, recursive=recursive)
    try:
        syscalls.mount_setattr(tree, set=syscalls.MOUNT_ATTR_IDMAP, namespace=namespace, recursive=recursive)
    except OSError:
        os.close(tree)
        raise
    return tree


def bind_idmapped(source: Path, target: Path, namespace: int) -> None:
    """Show a directory at another place, or over itself, with the owners of an id map. Raises OSError."""
    tree = idmapped_tree(source, namespace)
    try:
        syscalls.move_mount(tree, target)
    finally:
        os.close(tree)
