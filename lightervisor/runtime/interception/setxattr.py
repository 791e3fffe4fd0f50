"""setxattr: the one attribute of overlay file systems that root of a container needs to build layers.

Source: setxattr(2), Documentation/filesystems/overlayfs.rst (trusted.overlay.opaque), LXD.
"""

import os
import stat
from collections.abc import Mapping
from typing import Any

from lightervisor.runtime.interception.caller import CAP_SYS_ADMIN, Caller, may_write
from lightervisor.runtime.interception.messages import GOES_ON, Call, Outcome

OPAQUE = (b"trusted.overlay.opaque", b"y")
LONGEST_NAME = 256


def setxattr(call: Call, permits: Mapping[str, Any]) -> Outcome:
    """setxattr(path, name, value, size, flags)."""
    return _set(call, 0)


def lsetxattr(call: Call, permits: Mapping[str, Any]) -> Outcome:
    """lsetxattr(path, name, value, size, flags): the last link is not followed."""
    return _set(call, os.O_NOFOLLOW)


CALLS = {"setxattr": setxattr, "lsetxattr": lsetxattr}


def _set(call: Call, nofollow: int) -> Outcome:
    path_at, name_at, value_at, size, flags = call.arguments[:5]
    if size != 1:
        return GOES_ON
    name, value = call.string(name_at, LONGEST_NAME), call.read(value_at, 1)
    if (name, value) != OPAQUE:
        return GOES_ON
    path = call.string(path_at)
    caller = Caller(call)
    if not caller.has(CAP_SYS_ADMIN) or not caller.is_of_container("user"):
        return GOES_ON

    def look(start: int) -> "list[int]":
        found = os.open(path, os.O_PATH | nofollow | os.O_CLOEXEC, dir_fd=start)
        if not stat.S_ISDIR(os.fstat(found).st_mode):
            raise PermissionError(1, "not a directory")  # nothing else is ever opaque
        may_write(found)
        return [found]

    (found,) = caller.find(look)
    call.check()
    os.setxattr(f"/proc/self/fd/{found}", name.decode(), value, flags & 0x3)
    return Outcome()
