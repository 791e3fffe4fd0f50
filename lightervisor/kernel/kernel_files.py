"""Files that are the kernel itself: settings, devices' attributes, control groups.

Root of a privileged guest is root of the host to the kernel. Where no policy keeps it from these files it may write
them; whoever writes for it, at a place that its links choose, must not. Source: statfs(2), linux/magic.h.
"""

import errno
import os

from lightervisor.kernel import syscalls

_PROC, _SYSFS, _DEBUGFS, _TRACEFS, _SECURITYFS = 0x9FA0, 0x62656572, 0x64626720, 0x74726163, 0x73636673
_CGROUP, _CGROUP2, _EFIVARFS, _BPF, _CONFIGFS = 0x27E0EB, 0x63677270, 0xDE5E81E4, 0xCAFE4A11, 0x62656570
_MAGICS = frozenset(
    (_PROC, _SYSFS, _DEBUGFS, _TRACEFS, _SECURITYFS, _CGROUP, _CGROUP2, _EFIVARFS, _BPF, _CONFIGFS)
)  # fmt: skip


def refuse(descriptor: int) -> None:
    """Raise PermissionError when an open file is one of these."""
    if syscalls.file_system_magic(descriptor) in _MAGICS:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
