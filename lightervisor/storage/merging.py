"""Two layers of overlayfs made one: what lies on both lies on the new one alone and sees the same.

Nothing is copied: files of the new layer are links to those of the old ones, which go afterwards. The layers are at
rest. A layer in which a directory of another layer was renamed cannot be merged: where such a directory's content is
found is for the kernel to say. Source: Documentation/filesystems/overlayfs.rst.
"""

import os
import stat
from contextlib import ExitStack
from pathlib import Path

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE, _REDIRECT = "trusted.overlay.opaque", "trusted.overlay.redirect"


class Renamed(Exception):
    """A directory of a layer below was renamed in one of the layers."""


def merge(upper: Path, lower: Path, below: Path | None, target: Path) -> None:
    """Make the directory `target` what a layer is together with the one under it, over the tree `below`.

    Raises Renamed, OSError; the caller removes what is there then.
    """
    target.mkdir(mode=0o700)
    with ExitStack() as stack:
        opened = [os.open(place, _OPEN) for place in (upper, lower, target)]
        for one in opened:
            stack.callback(os.close, one)
        under = os.open(below, _OPEN) if below is not None else None
        if under is not None:
            stack.callback(os.close, under)
        _merge(opened[0], opened[1], under, opened[2])


def _merge(upper: int, lower: int, below: int | None, target: int) -> None:
    """Both are directories of the same place, and the upper one shows what is in the lower one."""
    _refuse_renamed(upper)
    _refuse_renamed(lower)
    if _is_opaque(lower):
        below = None
    above, beneath = set(os.listdir(upper)), set(os.listdir(lower))
    for name in above | beneath:
        over = _look(upper, name) if name in above else None
        under = _look(lower, name) if name in beneath else None
        if over is None:
            _take(lower, target, name)
        elif _is_whiteout(over):
            if _look(below, name) is not None:
                _link(upper, target, name)
        elif stat.S_ISDIR(over.st_mode) and under is not None:
            _merge_folder(name, under, upper, lower, below, target)
        else:
            _take(upper, target, name)
    _describe(upper, target)
    if _is_opaque(lower):
        os.setxattr(target, _OPAQUE, b"y")


def _merge_folder(name: str, under: os.stat_result, upper: int, lower: int, below: int | None, target: int) -> None:
    with ExitStack() as stack:
        folder = _opened(upper, name, stack)
        if _is_opaque(folder) or not stat.S_ISDIR(under.st_mode):
            _refuse_renamed(folder)
            _take(upper, target, name)
            # What hid the trees below went: now this does.
            os.setxattr(_opened(target, name, stack), _OPAQUE, b"y")
            return
        os.mkdir(name, 0o700, dir_fd=target)
        found = _look(below, name)
        shows = below is not None and found is not None and stat.S_ISDIR(found.st_mode)
        lowest = _opened(below, name, stack) if below is not None and shows else None
        _merge(folder, _opened(lower, name, stack), lowest, _opened(target, name, stack))


def _take(source: int, target: int, name: str) -> None:
    """All that one layer has there: links to its files, directories like its own."""
    found = os.stat(name, dir_fd=source, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        _link(source, target, name)
        return
    os.mkdir(name, 0o700, dir_fd=target)
    with ExitStack() as stack:
        theirs, ours = _opened(source, name, stack), _opened(target, name, stack)
        _refuse_renamed(theirs)
        for one in os.listdir(theirs):  # noqa: PTH208 - a descriptor
            _take(theirs, ours, one)
        _describe(theirs, ours)


def _link(source: int, target: int, name: str) -> None:
    os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)


def _describe(source: int, target: int) -> None:
    """Owner, mode, attributes and times of a directory; the times last."""
    found = os.fstat(source)
    os.fchown(target, found.st_uid, found.st_gid)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _opened(directory: int, name: str, stack: ExitStack) -> int:
    descriptor = os.open(name, _OPEN, dir_fd=directory)
    stack.callback(os.close, descriptor)
    return descriptor


def _look(directory: int | None, name: str) -> os.stat_result | None:
    if directory is None:
        return None
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(directory: int) -> bool:
    return _attribute(directory, _OPAQUE) == b"y"


def _refuse_renamed(directory: int) -> None:
    if _attribute(directory, _REDIRECT):
        raise Renamed


def _attribute(directory: int, name: str) -> bytes:
    try:
        return os.getxattr(directory, name)
    except OSError:
        return b""
