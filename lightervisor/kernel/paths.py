"""Paths of guests and images, which may hold any link: opened by descriptor, never by string.

Every function takes a root directory (a descriptor or a path of ours) and a path below it, resolved as if the root
were "/": links and ".." never lead out of it. The last part is not followed unless it says so. Failures are OSError.
Source: openat2(2), RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS.
"""

import errno
import os
import secrets
import stat as modes
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lightervisor.kernel import syscalls

Root = int | Path
_IN_ROOT = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
_SAME_TREE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
_DEEPEST = 64
_DEEPEST_COUNTED = 200  # each level costs a descriptor and two frames of Python's stack
_ATTEMPTS = 128


def open_beneath(root: Root, path: str, flags: int, mode: int = 0) -> int:
    """A descriptor of a path below a root; links are followed inside it, unless flags have O_NOFOLLOW.

    A resolution that races with a rename (EAGAIN) is tried again, as openat2(2) asks for.
    """
    given_mode = mode if flags & (os.O_CREAT | os.O_TMPFILE) & ~os.O_DIRECTORY else 0
    with _directory(root) as directory:
        for _ in range(_ATTEMPTS):
            try:
                return syscalls.openat2(directory, os.fsencode(path) or b".", flags, given_mode, _IN_ROOT)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise OSError(error.errno, os.strerror(error.errno or 0), path) from error
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def open_root(path: Path) -> int:
    """A descriptor of a root directory for the functions here: the caller's to close."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def open_parent(root: Root, path: str) -> tuple[int, str]:
    """The directory that holds a path's last part, as a descriptor to close, and that part."""
    head, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise OSError(errno.EINVAL, "this path has no name at its end", path)
    return open_beneath(root, head or ".", os.O_PATH | os.O_DIRECTORY), name


@contextmanager
def parent(root: Root, path: str) -> Generator[tuple[int, str], None, None]:
    """`open_parent` that closes the descriptor at the end."""
    directory, name = open_parent(root, path)
    try:
        yield directory, name
    finally:
        os.close(directory)


def stat(root: Root, path: str, *, follow: bool = False) -> os.stat_result:
    """What a path is."""
    descriptor = open_beneath(root, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def exists(root: Root, path: str, *, follow: bool = False) -> bool:
    """Whether there is something at a path."""
    try:
        stat(root, path, follow=follow)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def known(root: int, path: str) -> bool | None:
    """As `exists`, links followed, but no file system is asked; None when the kernel does not know by itself.

    So it never waits for one that does not answer. Source: openat2(2), RESOLVE_CACHED, Linux 5.12.
    """
    try:
        found = syscalls.openat2(root, os.fsencode(path), os.O_PATH, 0, _IN_ROOT | syscalls.RESOLVE_CACHED)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    os.close(found)
    return True


def is_plain(root: Root, path: str) -> bool:
    """Whether a path is a directory that no link leads to."""
    with _directory(root) as directory:
        try:
            os.close(syscalls.openat2(directory, os.fsencode(path), os.O_PATH | os.O_DIRECTORY, 0, _SAME_TREE))
        except OSError:
            return False
    return True


def names(root: Root, path: str) -> list[str]:
    """The names in a directory, sorted."""
    descriptor = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return sorted(_names(descriptor))
    finally:
        os.close(descriptor)


def readlink(root: Root, path: str) -> str:
    """Where a link points, as it is written."""
    with parent(root, path) as (directory, name):
        return os.readlink(name, dir_fd=directory)


def read(root: Root, path: str, *, limit: int) -> bytes:
    """The bytes of a regular file. Raises OSError EFBIG when it is larger than `limit`, EINVAL for a device or pipe."""
    descriptor = open_beneath(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not modes.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if found.st_size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return file.read(limit)


def mkdir(root: Root, path: str, mode: int = 0o755, *, parents: bool = False) -> None:
    """Make a directory; with `parents` also those above it, and one that exists already is left as it is."""
    if parents:
        parts = [part for part in path.split("/") if part]
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            try:
                mkdir(root, place, mode)
            except FileExistsError:
                if not modes.S_ISDIR(stat(root, place, follow=True).st_mode):
                    raise
        return
    with parent(root, path) as (directory, name):
        os.mkdir(name, mode, dir_fd=directory)


def symlink(root: Root, target: str, path: str) -> None:
    """Make a link; where it points is never looked at."""
    with parent(root, path) as (directory, name):
        os.symlink(target, name, dir_fd=directory)


def rename(root: Root, old: str, new: str) -> None:
    """Move within one root, replacing what is there as rename(2) does."""
    with parent(root, old) as (source, name), parent(root, new) as (target, new_name):
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)


def unlink(root: Root, path: str) -> None:
    """Remove a file or link."""
    with parent(root, path) as (directory, name):
        os.unlink(name, dir_fd=directory)


def rmdir(root: Root, path: str) -> None:
    """Remove an empty directory."""
    with parent(root, path) as (directory, name):
        os.rmdir(name, dir_fd=directory)


def remove_tree(path: Path) -> None:
    """`remove_beneath` for a path of ours, whose parents no guest can change."""
    if path.parent.is_dir():
        remove_beneath(path.parent, path.name)


def remove_beneath(root: Root, path: str) -> None:
    """Remove a file, or a directory with all that is in it; nothing happens when it is gone.

    Never follows a link and never enters a mount (OSError EXDEV). However deep the tree, few descriptors are open.
    """
    with parent(root, path) as (directory, name):
        waiting = [name]
        while waiting:
            _remove(directory, waiting.pop(), (directory, waiting), 0)


def _remove(directory: int, name: str, top: tuple[int, list[str]], depth: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
        return
    except FileNotFoundError:
        return
    except IsADirectoryError:
        pass
    if depth == _DEEPEST:  # a guest may nest as deep as it likes: such a branch becomes a tree of its own
        top_directory, waiting = top
        waiting.append(f".deep-{secrets.token_hex(8)}")
        os.rename(name, waiting[-1], src_dir_fd=directory, dst_dir_fd=top_directory)
        return
    for attempt in range(_ATTEMPTS):
        try:
            opened = syscalls.openat2(directory, os.fsencode(name), os.O_RDONLY | os.O_DIRECTORY, 0, _SAME_TREE)
        except FileNotFoundError:
            return
        try:
            for entry in _names(opened):
                _remove(opened, entry, top, depth + 1)
        finally:
            os.close(opened)
        try:
            os.rmdir(name, dir_fd=directory)
            return
        except FileNotFoundError:
            return  # who removes it, too, was faster
        except OSError as error:
            # Someone still writes there (a copy whose daemon was killed) and gives up when it is gone.
            if error.errno != errno.ENOTEMPTY or attempt == _ATTEMPTS - 1:
                raise


def tree_size(root: Root, path: str) -> int:
    """Bytes on disk of what is in a directory, 0 when it is gone; a file with several names is counted once.

    The directory may be a mount; mounts below it are not entered. What lies 200 directories deep is not counted.
    """
    seen: set[tuple[int, int]] = set()
    try:
        directory = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    try:
        return sum(_size(directory, name, seen, 1) for name in _names(directory))
    finally:
        os.close(directory)


def _size(directory: int, name: str, seen: set[tuple[int, int]], depth: int) -> int:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:  # a guest removed it meanwhile
        return 0
    if (found.st_dev, found.st_ino) in seen:
        return 0
    if not modes.S_ISDIR(found.st_mode):
        if found.st_nlink > 1:
            seen.add((found.st_dev, found.st_ino))
        return found.st_blocks * 512
    if depth == _DEEPEST_COUNTED:  # a guest may nest as deep as it likes
        return found.st_blocks * 512
    try:
        opened = syscalls.openat2(directory, os.fsencode(name), os.O_RDONLY | os.O_DIRECTORY, 0, _SAME_TREE)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMFILE):
            return 0
        raise
    try:
        return found.st_blocks * 512 + sum(_size(opened, entry, seen, depth + 1) for entry in _names(opened))
    finally:
        os.close(opened)


def _names(directory: int) -> list[str]:
    return os.listdir(directory)


@contextmanager
def _directory(root: Root) -> Generator[int, None, None]:
    if isinstance(root, int):
        yield root
        return
    descriptor = open_root(root)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
