"""Mounts in the mount namespace of a running container, made and taken away from outside.

The target is resolved by descriptor below the container's root, and what is missing of it is made as the container's
root, which alone has a name on its file system. Source: move_mount(2), umount(2).
"""

import os
import stat
from contextlib import suppress

from lightervisor.kernel import guests, paths, syscalls
from lightervisor.kernel.guests import Guest


def attach(guest: Guest, tree: int, target: str, *, is_file: bool) -> None:
    """Attach a detached mount at a path inside, made if it is missing. Raises OSError."""

    def work(root: int) -> None:
        _make(root, target, is_file=is_file)
        place = paths.open_beneath(root, target, os.O_PATH)
        try:
            syscalls.move_mount(tree, place)
        finally:
            os.close(place)

    guests.in_mounts(guest, work)


def is_mounted(guest: Guest, target: str) -> bool:
    """Whether something is mounted at a path inside. Raises OSError."""
    found: list[bool] = []

    def work(root: int) -> None:
        try:
            directory, name = paths.open_parent(root, target)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            os.fchdir(directory)
            found.append(syscalls.is_mount_root(name))
        finally:
            os.close(directory)

    guests.in_mounts(guest, work)
    return any(found)


def detach(guest: Guest, target: str, *, remove: bool = False) -> None:
    """Take away the uppermost mount at a path inside, for its users too; nothing happens without. Raises OSError.

    With `remove` the empty file or directory goes, too, that was made for it, be something mounted there or not.
    """

    def work(root: int) -> None:
        try:
            directory, name = paths.open_parent(root, target)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            os.fchdir(directory)
            if syscalls.is_mount_root(name):
                syscalls.umount2(name, syscalls.UMOUNT_NOFOLLOW | syscalls.MNT_DETACH)
            if remove:
                _remove_empty(directory, name)
        finally:
            os.close(directory)

    guests.in_mounts(guest, work)


def _remove_empty(directory: int, name: str) -> None:
    with suppress(OSError):  # another mount is there, or something in it, or somebody was faster
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=directory)
        elif stat.S_ISREG(found.st_mode) and found.st_size == 0:
            os.unlink(name, dir_fd=directory)


def _make(root: int, target: str, *, is_file: bool) -> None:
    if paths.exists(root, target, follow=True):
        return
    above, _, _ = target.rstrip("/").rpartition("/")
    if not is_file:
        paths.mkdir(root, target, parents=True)
        return
    paths.mkdir(root, above, parents=True)
    os.close(paths.open_beneath(root, target, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644))
