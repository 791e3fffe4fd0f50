"""Project quotas: how much a directory with all below it may take, kept by the kernel. ext4 and xfs have them.

A file or directory belongs to a project, which is a number; what is made in a directory that hands its project down
belongs to it too. Who has CAP_SYS_RESOURCE in the host's user namespace is not held by a limit. Source: quotactl(2),
quotactl_fd (Linux 5.14), ioctl_fsgetxattr(2), linux/quota.h, linux/dqblk_xfs.h (fs_quota_stat), linux/fs.h.
"""

import errno
import fcntl
import os
import stat
import struct

from msgspec import Struct

from lightervisor.kernel import syscalls
from lightervisor.kernel.deep_walk import walk
from lightervisor.kernel.tree_copy import copy_special

_GET_ATTRIBUTES, _SET_ATTRIBUTES = 0x801C581F, 0x401C5820
_ATTRIBUTES = struct.Struct("=IIIII8x")  # flags, extent size, extents, project, extent size of copies
_HANDED_DOWN = 0x200
_STATUS, _GET, _SET = 0x5805, 0x800007, 0x800008
_STATUS_HEAD = struct.Struct("=bxH")  # version, flags
_STATUS_SIZE = 80
_ENFORCED = 0x20
_PROJECTS = 2
_FIGURES = struct.Struct("=8QI4x")
_LIMIT_OF_BLOCKS = 1
_UNIT = 1024
_ABSENT = (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTBLK, errno.ESRCH, errno.EINVAL, errno.EPERM)


class Figures(Struct, frozen=True, kw_only=True):
    """Bytes: what a project takes, and the most it may take (0 without a limit)."""

    used: int
    limit: int


def are_kept(directory: int) -> bool:
    """Whether the file system of an open directory holds projects to their limits, not only counts. Raises OSError."""
    content = bytearray(_STATUS_SIZE)
    try:
        syscalls.quotactl(directory, _command(_STATUS), 0, content)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    _, flags = _STATUS_HEAD.unpack_from(content)
    return bool(flags & _ENFORCED)


def project_of(descriptor: int) -> int:
    """The project of an open file or directory, 0 for none; also where there are no projects. Raises OSError."""
    try:
        return _attributes(descriptor)[3]
    except OSError as error:
        if error.errno in _ABSENT:
            return 0
        raise


def assign(descriptor: int, project: int) -> None:
    """Put an open file or directory into a project; a directory hands it down to what is made in it. Raises OSError."""
    flags, *rest = _attributes(descriptor)
    is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)  # ext4 refuses the flag for anything else
    flags = flags | _HANDED_DOWN if project and is_directory else flags & ~_HANDED_DOWN
    rest[2] = project
    fcntl.ioctl(descriptor, _SET_ATTRIBUTES, _ATTRIBUTES.pack(flags, *rest))


def hand_down_no_more(directory: int) -> None:
    """What is made in an open directory from now on belongs to no project; it stays in its own. Raises OSError."""
    flags, *rest = _attributes(directory)
    if flags & _HANDED_DOWN:
        fcntl.ioctl(directory, _SET_ATTRIBUTES, _ATTRIBUTES.pack(flags & ~_HANDED_DOWN, *rest))


def figures(directory: int, project: int) -> Figures:
    """What a project of a directory's file system takes and may take; zeros for one that nothing is in."""
    content = bytearray(_FIGURES.size)
    try:
        syscalls.quotactl(directory, _command(_GET), project, content)
    except OSError as error:
        if error.errno != errno.ENOENT:  # xfs, of a project that nothing was ever in
            raise
    hard, _, used, *_ = _FIGURES.unpack(content)
    return Figures(used=used, limit=hard * _UNIT)


def limit(directory: int, project: int, size: int) -> None:
    """Set the most bytes that a project may take, 0 for no limit. Raises OSError."""
    units = -(-size // _UNIT)
    content = bytearray(_FIGURES.pack(units, units, 0, 0, 0, 0, 0, 0, _LIMIT_OF_BLOCKS))
    syscalls.quotactl(directory, _command(_SET), project, content)


def assign_tree(directory: int, project: int, staging: int) -> None:
    """Put all that is in an open directory, and itself, into a project; not what is mounted in it. Raises OSError.

    Nobody may use it meanwhile. Links and devices (whiteouts are such) cannot be opened for it, and what is of another
    project can neither be renamed nor linked to where a project is handed down: they are made anew in `staging`, an
    empty directory of this file system and project, and change places. Pipes, sockets, and devices and links of several
    names stay outside. The directory itself is the last: it tells that all is done.
    """
    is_top = True
    for parent, names in walk(directory):
        if not is_top:
            assign(parent, project)
        is_top = False
        before = os.fstat(parent)
        for name in names:
            _assign_one(parent, name, project, staging)
        os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    assign(directory, project)


def _assign_one(parent: int, name: str, project: int, staging: int) -> None:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISREG(found.st_mode):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        try:
            assign(descriptor, project)
        finally:
            os.close(descriptor)
    elif _is_link_or_device(found) and (found.st_nlink == 1 or _is_whiteout(found)):
        copy_special(parent, staging, os.fsencode(name), found)
        os.rename(name, name, src_dir_fd=staging, dst_dir_fd=parent)


def _is_link_or_device(found: os.stat_result) -> bool:
    return stat.S_IFMT(found.st_mode) in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK)


def _is_whiteout(found: os.stat_result) -> bool:
    """What overlayfs has for a file that is removed: often one for all, by as many names."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _attributes(descriptor: int) -> list[int]:
    content = fcntl.ioctl(descriptor, _GET_ATTRIBUTES, bytes(_ATTRIBUTES.size))
    return list(_ATTRIBUTES.unpack(content))


def _command(command: int) -> int:
    return command << 8 | _PROJECTS
