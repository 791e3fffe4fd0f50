"""mknod: device nodes that harm nobody, made by the host's root in the directory that the caller may write to.

On a file system that the container mounted itself no node can be opened: there the host's own is bound over a file.
Source: mknod(2); the list is LXD's.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Mapping
from typing import Any

from lightervisor.kernel import syscalls
from lightervisor.runtime.interception.caller import AT_FDCWD, CAP_MKNOD, Caller, may_write
from lightervisor.runtime.interception.messages import GOES_ON, Call, Outcome

WHITEOUT = (0, 0)
HOST_NODES = {
    (1, 3): "/dev/null", (1, 5): "/dev/zero", (1, 7): "/dev/full", (1, 8): "/dev/random", (1, 9): "/dev/urandom",
    (5, 0): "/dev/tty", (5, 1): "/dev/console",
}  # fmt: skip


def mknod(call: Call, permits: Mapping[str, Any]) -> Outcome:
    """mknod(path, mode, device)."""
    return _make(call, AT_FDCWD, *call.arguments[:3])


def mknodat(call: Call, permits: Mapping[str, Any]) -> Outcome:
    """mknodat(directory, path, mode, device)."""
    return _make(call, call.integer(0), *call.arguments[1:4])


CALLS = {"mknod": mknod, "mknodat": mknodat}


def _make(call: Call, directory: int, address: int, mode: int, device: int) -> Outcome:
    numbers = os.major(device & 0xFFFFFFFF), os.minor(device & 0xFFFFFFFF)
    if stat.S_IFMT(mode) != stat.S_IFCHR or (numbers != WHITEOUT and numbers not in HOST_NODES):
        return GOES_ON  # where the kernel refuses it
    path = call.string(address)
    caller = Caller(call)
    if not caller.has(CAP_MKNOD) or not caller.is_of_container("user"):
        return GOES_ON
    above, slash, name = path.rpartition(b"/")
    if name in (b"", b".", b".."):
        return GOES_ON  # nothing that could be made

    def look(start: int) -> "list[int]":
        found = os.open(above or slash or b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=start)
        may_write(found, os.W_OK | os.X_OK)
        return [found]

    (parent,) = caller.find(look, directory)
    tree = syscalls.open_tree(HOST_NODES[numbers]) if numbers in HOST_NODES else -1
    namespace = caller.namespace("mnt")
    call.check()
    syscalls.act_as(*caller.file_ids)
    os.umask(caller.umask)
    os.mknod(name, stat.S_IFCHR | stat.S_IMODE(mode), os.makedev(*numbers), dir_fd=parent)
    if tree >= 0 and not os.fstatvfs(parent).f_flag & os.ST_NODEV and not _opens(parent, name):
        _bind(parent, name, tree, namespace)
    return Outcome()


def _opens(parent: int, name: bytes) -> bool:
    """Whether the kernel lets nodes of this file system be opened at all."""
    try:
        os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW, dir_fd=parent))
    except OSError as error:
        return error.errno != errno.EACCES
    return True


def _bind(parent: int, name: bytes, tree: int, namespace: int) -> None:
    os.unlink(name, dir_fd=parent)
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=parent))
    try:
        place = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
        syscalls.enter_mount_namespace(namespace)
        syscalls.move_mount(tree, place)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=parent)
        raise
