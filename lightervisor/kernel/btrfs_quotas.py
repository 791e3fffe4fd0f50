"""How much the subvolumes of a btrfs take and may take, where its quotas are enabled.

A figure is that of the last commit, which the kernel makes every half minute. Source: linux/btrfs.h,
linux/btrfs_tree.h, btrfs-quota(8).
"""

import errno
import struct

from lightervisor.kernel import btrfs, syscalls
from lightervisor.kernel.btrfs import number
from lightervisor.kernel.project_quotas import Figures

_TREE, _FIGURES, _LIMIT = 8, 242, 244
_FIGURES_ITEM, _LIMIT_ITEM = struct.Struct("=5Q"), struct.Struct("=5Q")
_CONTROL, _RESCAN, _LIMITS = struct.Struct("=QQ"), bytes(64), struct.Struct("=6Q")
_GROUP = struct.Struct("=QQ")
_ENABLE, _REFERENCED, _RESERVED = 1, 1, 4
_NO_LIMIT = (1 << 64) - 1


def are_enabled(anywhere: int) -> bool:
    """Whether the file system of an open directory counts what subvolumes take. Raises OSError."""
    try:
        return any(True for _ in btrfs.search(anywhere, _TREE, 240, 0))
    except FileNotFoundError:
        return False


def enable(anywhere: int) -> None:
    """Have the file system count, and wait until it has counted what is there. Raises OSError."""
    syscalls.ioctl(anywhere, number(3, 40, _CONTROL.size), bytearray(_CONTROL.pack(_ENABLE, 0)))
    try:
        syscalls.ioctl(anywhere, number(1, 44, len(_RESCAN)), bytearray(_RESCAN))
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise
    syscalls.ioctl(anywhere, number(0, 46, 0), bytearray(1))


def referenced(anywhere: int, subvolume: int) -> Figures | None:
    """What can be seen in a subvolume, also what it shares with others, and its limit; None where nothing is known."""
    found = _item(anywhere, _FIGURES, subvolume)
    if found is None:
        return None
    limit = _item(anywhere, _LIMIT, subvolume)
    flags, most, _, kept, _ = _LIMIT_ITEM.unpack_from(limit) if limit else (0, 0, 0, 0, 0)
    if flags & _RESERVED and kept != _NO_LIMIT:
        most = kept
    is_limited = flags & _REFERENCED and most != _NO_LIMIT
    return Figures(used=_FIGURES_ITEM.unpack_from(found)[1], limit=most if is_limited else 0)


def exclusive(anywhere: int, subvolume: int) -> int | None:
    """The bytes that would come free without a subvolume; None where nothing is known."""
    found = _item(anywhere, _FIGURES, subvolume)
    return None if found is None else _FIGURES_ITEM.unpack_from(found)[3]


def limit(anywhere: int, subvolume: int, size: int, room: int = 0) -> None:
    """Let a subvolume show at most so many bytes, 0 for as many as there are. Raises OSError.

    With `room` it may show more, and `referenced` tells of `size` still, also after a crash: that is kept where a
    reservation could be, which the kernel stores and never looks at.
    """
    kept = size or _NO_LIMIT
    content = _LIMITS.pack(subvolume, _REFERENCED | _RESERVED, size + room if size else _NO_LIMIT, 0, kept, 0)
    syscalls.ioctl(anywhere, number(2, 43, _LIMITS.size), bytearray(content))


def forget(anywhere: int, subvolume: int) -> None:
    """Count a subvolume that is gone no more, unless the kernel still does, or will not have it in another moment.

    Before 6.12 it left that to whoever had destroyed the subvolume. Raises OSError.
    """
    try:
        syscalls.ioctl(anywhere, number(1, 42, _GROUP.size), bytearray(_GROUP.pack(0, subvolume)))
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOENT, errno.ENOTCONN):
            raise


def _item(anywhere: int, kind: int, subvolume: int) -> bytes | None:
    try:
        return next((content for content, _ in btrfs.search(anywhere, _TREE, kind, 0, subvolume)), None)
    except FileNotFoundError:
        return None
