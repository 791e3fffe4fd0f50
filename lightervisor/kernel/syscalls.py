"""System calls that Python has no function for, one thin function each; failures are OSError with the errno.

The numbers above 424 are the same on every architecture. Sources: syscalls(2), open_tree(2), mount_setattr(2),
openat2(2), statx(2), capabilities(7), linux/mount.h.
"""

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_OPENAT2, _MOUNT_SETATTR, _QUOTACTL_FD = 437, 442, 443

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC = 1, 2, 4, 32, 4096, 8192, 16384
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 0x2, 0x4, 0x8
MOUNT_ATTR_ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_NODIRATIME = 0x70, 0x10, 0x20, 0x80
MOUNT_ATTR_IDMAP, MOUNT_ATTR_NOSYMFOLLOW = 0x00100000, 0x00200000

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20

_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_EMPTY_PATH = 0x04, 0x40
_CLONE_FS, _CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x200, 0x20000, 0x10000000, 0x40000000
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_SET_FD, _FSCONFIG_CMD_CREATE = 0, 1, 5, 6
_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 4
_PR_SET_NO_NEW_PRIVS, _CAPABILITY_VERSION_3 = 38, 0x20080522
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_RESOURCE = 1, 2, 24
_STATX_ATTR_MOUNT_ROOT = 0x2000
_PUNCH_HOLE = 0x03  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_RENAME_EXCHANGE = 2
IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_Q_OVERFLOW = 0x40, 0x80, 0x100, 0x200, 0x4000
_IN_ONLYDIR = 0x01000000

StrPath = str | os.PathLike[str]  # not pathlib, which is too large for the processes of proxies


def _call(what: str, number: int, *arguments: int | bytes | None) -> int:
    longs = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(what, _libc.syscall(ctypes.c_long(number), *longs))


def _checked(what: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def openat2(directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """Open a path below a directory with limits on its resolution. Source: openat2(2)."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return _call("openat2", _OPENAT2, directory, path, how, len(how))


def open_tree(path: StrPath, *, directory: int = AT_FDCWD, recursive: bool = False) -> int:
    """A detached clone of the mount at a path, as a descriptor. Source: open_tree(2)."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    if not os.fspath(path):
        flags |= AT_EMPTY_PATH
    return _call("open_tree", _OPEN_TREE, directory, os.fsencode(path), flags)


def mount_setattr(
    tree: int, *, set: int = 0, clear: int = 0, propagation: int = 0, namespace: int = 0, recursive: bool = False
) -> None:
    """Change a detached mount's attributes, or give it the id map of a user namespace. Source: mount_setattr(2)."""
    attributes = struct.pack("QQQQ", set, clear, propagation, namespace)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _call("mount_setattr", _MOUNT_SETATTR, tree, b"", flags, attributes, len(attributes))


def move_mount(tree: int, target: StrPath | int) -> None:
    """Attach a detached mount at a path, or at what a descriptor refers to. Source: move_mount(2)."""
    if isinstance(target, int):
        flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
        _call("move_mount", _MOVE_MOUNT, tree, b"", target, b"", flags)
    else:
        _call("move_mount", _MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)


def fsopen(type: str) -> int:
    """Begin to make a file system. Source: fsopen(2)."""
    return _call("fsopen", _FSOPEN, type.encode(), _FSOPEN_CLOEXEC)


def fsconfig_string(context: int, key: str, value: str) -> None:
    """Set an option of a file system being made."""
    _call(f"option {key}={value}", _FSCONFIG, context, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)


def fsconfig_flag(context: int, key: str) -> None:
    """Set an option without a value of a file system being made."""
    _call(f"option {key}", _FSCONFIG, context, _FSCONFIG_SET_FLAG, os.fsencode(key), None, 0)


def fsconfig_descriptor(context: int, key: str, descriptor: int) -> None:
    """Set an option of a file system being made to what a descriptor refers to."""
    _call(f"option {key}", _FSCONFIG, context, _FSCONFIG_SET_FD, key.encode(), None, descriptor)


def fsconfig_create(context: int) -> None:
    """Make the file system from its options."""
    _call("fsconfig", _FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(context: int, attributes: int = 0) -> int:
    """A detached mount of a file system made by `fsconfig_create`, as a descriptor."""
    return _call("fsmount", _FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes)


def mount(source: StrPath, target: StrPath, type: str = "", flags: int = 0, data: str = "") -> None:
    """Source: mount(2)."""
    words = (os.fsencode(source), os.fsencode(target), type.encode() or None)
    _checked("mount", _libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data) or None))


def umount2(target: StrPath, flags: int = 0) -> None:
    """Source: umount(2)."""
    _checked("umount", _libc.umount2(os.fsencode(target), flags))


def is_mount_root(path: StrPath | bytes, *, directory: int = AT_FDCWD) -> bool:
    """Whether a path is the root of a mount, its last link not followed; false when it does not exist.

    Source: statx(2), STATX_ATTR_MOUNT_ROOT, Linux 5.8.
    """
    buffer = ctypes.create_string_buffer(256)
    if _libc.statx(directory, os.fsencode(path), AT_SYMLINK_NOFOLLOW, 0, buffer) < 0:
        code = ctypes.get_errno()
        if code in (2, 20):  # ENOENT, ENOTDIR
            return False
        raise OSError(code, os.strerror(code), path)
    (attributes,) = struct.unpack_from("Q", buffer, 8)
    return bool(attributes & _STATX_ATTR_MOUNT_ROOT)


def punch(descriptor: int, length: int) -> None:
    """Give the beginning of a file back to its file system: it reads as zeros. Source: fallocate(2)."""
    _checked("fallocate", _libc.fallocate(descriptor, _PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(length)))


def exchange(one: StrPath, other: StrPath) -> None:
    """Let two names of one file system change places, at once. Source: renameat2(2), RENAME_EXCHANGE."""
    words = (AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other))
    _checked("renameat2", _libc.renameat2(*words, ctypes.c_uint(_RENAME_EXCHANGE)))


def file_system_magic(place: StrPath | int) -> int:
    """The kernel's number for the type of the file system of a path or descriptor. Source: statfs(2)."""
    buffer = ctypes.create_string_buffer(256)
    if isinstance(place, int):
        _checked("fstatfs", _libc.fstatfs(place, buffer))
    else:
        _checked("statfs", _libc.statfs(os.fsencode(place), buffer))
    return struct.unpack_from("l", buffer)[0] & 0xFFFFFFFF


def inotify_init() -> int:
    """A descriptor that tells of changes in directories; it does not block. Source: inotify_init(2)."""
    return _checked("inotify_init1", _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def inotify_add_watch(descriptor: int, directory: StrPath, mask: int) -> int:
    """Watch a directory; the number of the watch, that of before if it is watched already."""
    return _checked(
        "inotify_add_watch",
        _libc.inotify_add_watch(descriptor, os.fsencode(directory), ctypes.c_uint(mask | _IN_ONLYDIR)),
    )


def inotify_rm_watch(descriptor: int, watch: int) -> None:
    """End a watch; nothing happens when its directory has gone and the watch with it."""
    _libc.inotify_rm_watch(descriptor, watch)


def quotactl(directory: int, command: int, number: int, content: bytearray) -> None:
    """Ask or change quotas of an open directory's file system. Source: quotactl(2), quotactl_fd of Linux 5.14."""
    buffer = (ctypes.c_char * len(content)).from_buffer(content)
    numbers = (ctypes.c_long(_QUOTACTL_FD), ctypes.c_int(directory), ctypes.c_int(command), ctypes.c_int(number))
    _checked("quotactl", _libc.syscall(*numbers, buffer))


def ioctl(descriptor: int, request: int, content: bytearray) -> None:
    """Ask a driver or file system, which reads and writes `content`; other threads go on meanwhile. Source: ioctl(2).

    Unlike fcntl.ioctl, which holds them up for buffers of more than 1024 bytes.
    """
    buffer = (ctypes.c_char * len(content)).from_buffer(content)
    _checked("ioctl", _libc.ioctl(ctypes.c_int(descriptor), ctypes.c_ulong(request), buffer))


def open_by_handle(mounted: int, handle: bytes, flags: int) -> int:
    """Open what a handle names in the file system of an open directory. Source: open_by_handle_at(2)."""
    return _checked("open_by_handle_at", _libc.open_by_handle_at(ctypes.c_int(mounted), handle, ctypes.c_int(flags)))


def sync_file_system(descriptor: int) -> None:
    """Bring all that is written to a file system to disk. Source: syncfs(2)."""
    _checked("syncfs", _libc.syncfs(descriptor))


def enter_mount_namespace(namespace: int) -> None:
    """Move the calling thread, and no other, into a mount namespace; its root and directory become that one's root.

    There is no way back: for a thread that ends soon. Source: setns(2), unshare(2).
    """
    _checked("unshare", _libc.unshare(_CLONE_FS))
    _checked("setns", _libc.setns(namespace, _CLONE_NEWNS))


def unshare_mounts() -> None:
    """Give the calling thread a mount namespace of its own. Source: unshare(2)."""
    _checked("unshare", _libc.unshare(_CLONE_NEWNS))


def enter_network_namespace(namespace: int) -> None:
    """Move the calling thread, and no other, into a network namespace. Source: setns(2)."""
    _checked("setns", _libc.setns(namespace, _CLONE_NEWNET))


def enter_user_namespace(namespace: int) -> None:
    """Move the calling process, of one thread, into a user namespace, with all capabilities there and none outside.

    Source: setns(2), user_namespaces(7).
    """
    _checked("setns", _libc.setns(namespace, _CLONE_NEWUSER))


def keep_capabilities(*kept: int) -> None:
    """Give up all capabilities of the calling thread but these, and for ever what programs could give it.

    Source: capset(2), PR_SET_NO_NEW_PRIVS.
    """
    _checked("prctl", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    bits = sum(1 << one for one in kept)
    sets = [part for word in (bits & 0xFFFFFFFF, bits >> 32) for part in (word, word, 0)]
    _set_capabilities(sets)


def give_up_capability(number: int) -> None:
    """Give one capability of the calling thread up. Source: capget(2), capset(2)."""
    _set_capabilities(_capabilities_without(number, 3))


class WithoutCapability:
    """While this context lasts its thread does not use one of its capabilities. Source: capset(2)."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> None:
        self._before = _capabilities()
        _set_capabilities(_capabilities_without(self._number, 1))

    def __exit__(self, *_: object) -> None:
        _set_capabilities(self._before)


def _capabilities() -> list[int]:
    """Of the calling thread: effective, permitted and inheritable ones, the lower 32 of each first."""
    sets = ctypes.create_string_buffer(24)
    _checked("capget", _libc.capget(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), sets))
    return list(struct.unpack("=6I", sets.raw))


def _capabilities_without(number: int, sets: int) -> list[int]:
    words, first = _capabilities(), 3 * (number // 32)
    kept = ~(1 << number % 32) & 0xFFFFFFFF
    words[first : first + sets] = [word & kept for word in words[first : first + sets]]
    return words


def _set_capabilities(words: list[int]) -> None:
    _checked("capset", _libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), struct.pack("=6I", *words)))


def act_as(uid: int, gid: int) -> None:
    """Give the calling thread, and no other, another identity for files, keeping its capabilities.

    There is no way back: for a thread that ends soon. Unlike setuid(2) these calls are of the thread alone.
    Source: setfsuid(2), capabilities(7) SECBIT_NO_SETUID_FIXUP.
    """
    _checked("prctl", _libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    _libc.setfsgid(ctypes.c_uint(gid))
    _libc.setfsuid(ctypes.c_uint(uid))
    if ctypes.c_uint(_libc.setfsuid(ctypes.c_uint(-1))).value != uid:
        raise PermissionError(1, f"setfsuid {uid} was refused")
