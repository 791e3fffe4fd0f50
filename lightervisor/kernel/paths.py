"""Paths of guests and images, opened by descriptor below their root, never by string. Source: openat2(2).

A link inside resolves inside, as it would for the guest; nothing leads out of the root.
"""

import errno
import os
import shutil
from pathlib import Path

from lightervisor.kernel import syscalls

SAFE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
TRIES = 64


def open_root(path: Path) -> int:
    """A descriptor of a root directory, for the functions below; the caller closes it."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def open_beneath(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path as a guest with this root would. Raises OSError."""
    name = os.fsencode(path).lstrip(b"/") or b"."
    for attempt in range(TRIES):
        try:
            return syscalls.openat2(root, name, flags, mode if flags & (os.O_CREAT | os.O_TMPFILE) else 0, SAFE)
        except OSError as error:
            # A rename elsewhere may race with the resolution; the kernel says to try again.
            if error.errno != errno.EAGAIN or attempt == TRIES - 1:
                raise
    raise AssertionError


def open_parent(root: int, path: str) -> tuple[int, str]:
    """The directory that holds a path, and the last name in it. Raises OSError; the caller closes it."""
    head, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return open_beneath(root, head, os.O_PATH | os.O_DIRECTORY), name


def remove_tree(path: Path) -> None:
    """Remove a directory with all in it, following no link; nothing happens when it is not there."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        if path.exists():
            raise
