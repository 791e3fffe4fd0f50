"""Walks through trees of guests, who may nest directories as deep as they like: few descriptors, no recursion."""

import errno
import os
from collections.abc import Callable, Generator

from lightervisor.kernel import syscalls

_SAME_TREE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_OPEN = 64
_NOT_ENTERED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


class _Level:
    """An open directory. `descriptor` is -1 while the walk is far below, `names` are those still to be entered."""

    __slots__ = ("descriptor", "identity", "name", "names")  # no Struct: processes without site-packages walk, too

    def __init__(self, name: str, descriptor: int, identity: tuple[int, int], names: list[str]) -> None:
        self.name, self.descriptor, self.identity, self.names = name, descriptor, identity, names


Leave = Callable[[int, str], None]


def walk(directory: int, leave: Leave | None = None) -> Generator[tuple[int, list[str]], None, None]:
    """An open directory and each directory below it, with the names in it; a directory comes before what it holds.

    The descriptor is the walk's own, valid until the next one is asked for. Each directory below is shown to `leave`
    after what it holds, as its name in an open directory. Never follows a link and never enters a mount; what goes
    meanwhile is left out. However deep the tree, few descriptors are open. Raises OSError, ESTALE when directories far
    below are moved elsewhere meanwhile.
    """
    levels = [_entered(directory, ".")]
    try:
        yield levels[0].descriptor, list(levels[0].names)
        while levels:
            level = levels[-1]
            if not level.names:
                _go_up(levels)
                if leave is not None and levels:
                    leave(levels[-1].descriptor, level.name)
                continue
            try:
                below = _entered(level.descriptor, level.names.pop())
            except OSError as error:
                if error.errno in _NOT_ENTERED:  # no directory, most often
                    continue
                raise
            levels.append(below)
            if len(levels) > _KEPT_OPEN:
                _close(levels[-_KEPT_OPEN - 1])
            yield below.descriptor, list(below.names)
    finally:
        for level in levels:
            _close(level)


def _entered(directory: int, name: str) -> _Level:
    opened = syscalls.openat2(directory, os.fsencode(name), _FLAGS, 0, _SAME_TREE)
    try:
        return _Level(name, opened, _identity(opened), os.listdir(opened))  # noqa: PTH208 - a descriptor
    except BaseException:
        os.close(opened)
        raise


def _go_up(levels: list[_Level]) -> None:
    """Go up; the directory above is opened again if it is closed, and must be the one that the walk came from."""
    left = levels[-1]
    above = levels[-2] if len(levels) > 1 else None
    if above is not None and above.descriptor < 0:
        opened = os.open("..", _FLAGS, dir_fd=left.descriptor)
        if _identity(opened) != above.identity:
            os.close(opened)
            raise OSError(errno.ESTALE, "a directory was moved elsewhere meanwhile")
        above.descriptor = opened
    levels.pop()
    _close(left)


def _close(level: _Level) -> None:
    if level.descriptor >= 0:
        os.close(level.descriptor)
        level.descriptor = -1


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
