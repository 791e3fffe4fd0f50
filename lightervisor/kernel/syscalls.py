"""System calls that Python's library lacks, by number: the same on every architecture above 423.

Source: open_tree(2), mount_setattr(2), move_mount(2), fsopen(2), openat2(2), setfsuid(2), prctl(2).
"""

import ctypes
import os
import struct

OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, OPENAT2, MOUNT_SETATTR = 428, 429, 430, 431, 432, 437, 442
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_IDMAP = 0x00100000
SET_FLAG, SET_STRING, SET_FD, CMD_CREATE = 0, 1, 5, 6
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10
MNT_DETACH = 2
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 4
BY_MACHINE = {"x86_64": {"setfsuid": 122, "setfsgid": 123}, "aarch64": {"setfsuid": 151, "setfsgid": 152}}

_libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int | bytes | None) -> int:
    """A raw system call. Raises OSError."""
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *values))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def open_tree(path: bytes, flags: int) -> int:
    """A descriptor of a detached copy of the mount at a path."""
    return call(OPEN_TREE, AT_FDCWD, path, flags | OPEN_TREE_CLONE | os.O_CLOEXEC)


def set_idmap(tree: int, namespace: int, *, recursive: bool = False) -> None:
    """Give a detached mount the id map of a user namespace."""
    attributes = struct.pack("QQQQ", MOUNT_ATTR_IDMAP, 0, 0, namespace)
    call(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0), attributes, len(attributes))


def attach(tree: int, target: bytes) -> None:
    """Mount a detached mount at a path."""
    call(MOVE_MOUNT, tree, b"", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)


def fsopen(kind: bytes) -> int:
    """Begin to configure a file system."""
    return call(FSOPEN, kind, 1)


def fsconfig(context: int, command: int, key: bytes | None = None, value: bytes | None = None, extra: int = 0) -> None:
    """One step of its configuration."""
    call(FSCONFIG, context, command, key, value, extra)


def fsmount(context: int) -> int:
    """The configured file system as a detached mount."""
    return call(FSMOUNT, context, 1, 0)


def openat2(directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """Open below a directory with rules for links."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return call(OPENAT2, directory, path, how, len(how))


def mount(source: bytes, target: bytes, kind: bytes, flags: int, data: bytes = b"") -> None:
    """mount(2). Raises OSError."""
    if _libc.mount(source, target, kind, ctypes.c_ulong(flags), data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def umount(target: bytes, flags: int) -> None:
    """umount2(2). Raises OSError."""
    if _libc.umount2(target, flags) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def become_for_files(uid: int, gid: int) -> None:
    """From now on this thread makes files as uid and gid, with its capabilities kept. Ends with the thread."""
    if _libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    numbers = BY_MACHINE[os.uname().machine]
    call(numbers["setfsgid"], gid)
    call(numbers["setfsuid"], uid)
