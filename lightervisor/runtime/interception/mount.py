"""mount: a file system of a block device mounted by the host, or by a FUSE program of the container.

The caller's own child finds the source and the place. The mount is made, detached, where nothing but a node of that
device can be named in its options, and is then moved to that place. Source: fsopen(2), mount(2), mount_setattr(2).
"""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lightervisor.kernel import syscalls, unwritable
from lightervisor.runtime import liblxc
from lightervisor.runtime.interception.caller import CAP_SYS_ADMIN, Caller, may_write
from lightervisor.runtime.interception.messages import GOES_ON, Call, Outcome, failed

FLAGS = {  # of mount(2): those of the file system by name, those of the mount by number of mount_setattr(2)
    1: ("ro", 0x1), 2: ("", 0x2), 4: ("", 0x4), 8: ("", 0x8), 16: ("sync", 0), 128: ("dirsync", 0), 1024: ("", 0x10),
    2048: ("", 0x80), 1 << 24: ("", 0x20), 1 << 25: ("lazytime", 0),
}  # fmt: skip
RDONLY, NODEV = 1, 0x4
OLD_MAGIC, OLD_MAGIC_MASK = 0xC0ED0000, 0xFFFF0000
LONGEST_OPTIONS = 4095
PAGE = 4096
NEEDS_NO_DEVICE = "nodev"
SCRATCH = "/run"
PATH = b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Wish(NamedTuple):
    """What the caller wants mounted, as it was in its memory when it was read, once."""

    kind: str
    source: bytes
    target: bytes
    flags: int
    options: bytes


def mount(call: Call, permits: Mapping[str, Any]) -> Outcome:
    """mount(source, target, type, flags, options)."""
    source_at, target_at, type_at, flags, options_at = call.arguments[:5]
    if not type_at:
        return GOES_ON
    kind = call.string(type_at, 64).decode("ascii", "replace")
    if kind not in permits["mount"] and kind not in permits["fuse"]:
        return GOES_ON
    caller = Caller(call)
    if not caller.has(CAP_SYS_ADMIN) or not caller.is_of_container("user"):
        return GOES_ON
    if flags & OLD_MAGIC_MASK == OLD_MAGIC:
        flags &= ~OLD_MAGIC_MASK
    wish = Wish(
        kind,
        call.string(source_at) if source_at else b"none",
        call.string(target_at),
        flags,
        _options(call, options_at) if options_at else b"",
    )
    if kind in permits["fuse"]:
        return _by_fuse(call, caller, wish, permits["fuse"][kind])
    return _by_host(call, caller, wish, is_shifted=permits["shift"])


CALLS = {"mount": mount}


def _options(call: Call, address: int) -> bytes:
    # As the kernel: a page at most, or as much of it as is there.
    try:
        return call.string(address, LONGEST_OPTIONS)
    except OSError as error:
        raise OSError(errno.EINVAL if error.errno == errno.ENAMETOOLONG else errno.EFAULT, "options") from error


def _by_host(call: Call, caller: Caller, wish: Wish, *, is_shifted: bool) -> Outcome:
    needs_device = _needs_device(wish.kind)

    def look(_: int) -> "list[int]":
        found = [os.open(wish.target, os.O_PATH | os.O_CLOEXEC)]
        if needs_device:
            node = os.open(wish.source, os.O_PATH | os.O_CLOEXEC)
            if not stat.S_ISBLK(os.fstat(node).st_mode):
                raise OSError(errno.ENOTBLK, os.strerror(errno.ENOTBLK))
            may_write(node, os.R_OK if wish.flags & RDONLY else os.R_OK | os.W_OK)
            found.append(node)
        return found

    place, *nodes = caller.find(look)
    device = os.fstat(nodes[0]).st_rdev if nodes else 0
    users, mounts = caller.namespace("user"), caller.namespace("mnt")
    call.check()
    mounted = _made(wish, device)
    if is_shifted:
        syscalls.mount_setattr(mounted, set=syscalls.MOUNT_ATTR_IDMAP, namespace=users)
    call.check()
    syscalls.enter_mount_namespace(mounts)
    syscalls.move_mount(mounted, place)
    return Outcome()


def _needs_device(kind: str) -> bool:
    for line in Path("/proc/filesystems").read_text().splitlines():
        word, _, name = line.partition("\t")
        if name == kind:
            return word != NEEDS_NO_DEVICE
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


def _made(wish: Wish, device: int) -> int:
    """The mount, detached. Without device nodes: the guest writes what is on it."""
    name = wish.source.decode("utf-8", "surrogateescape")
    if device:
        name = _only_node(name, device)
    context = syscalls.fsopen(wish.kind)
    syscalls.fsconfig_string(context, "source", name)
    attributes = NODEV
    for flag, (word, attribute) in FLAGS.items():
        if wish.flags & flag:
            attributes |= attribute
            if word:
                syscalls.fsconfig_flag(context, word)
    for option in wish.options.decode("utf-8", "surrogateescape").split(","):
        key, equals, value = option.partition("=")
        if equals:
            syscalls.fsconfig_string(context, key, value)
        elif key:
            syscalls.fsconfig_flag(context, key)
    syscalls.fsconfig_create(context)
    return syscalls.fsmount(context, attributes)


def _only_node(name: str, device: int) -> str:
    """Go where there is a node of this device under this name, and nothing else; its name there."""
    syscalls.unshare_mounts()
    syscalls.mount("", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("none", SCRATCH, "tmpfs")
    os.chroot(SCRATCH)
    os.chdir("/")
    path = os.path.normpath("/" + name.lstrip("/"))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFBLK | 0o600, device)
    return path


def _by_fuse(call: Call, caller: Caller, wish: Wish, program: str) -> Outcome:
    """Run the container's program as `lxc exec` would, with all that confines the container."""
    is_at_home = caller.is_of_container("mnt", "pid") and os.path.samestat(
        os.stat("root", dir_fd=call.process),
        os.stat(f"/proc/{call.init_pid}/root"),  # noqa: PTH116
    )
    if not is_at_home:
        return GOES_ON
    where = os.readlink("cwd", dir_fd=call.process)
    words = [word for word in (b"ro" if wish.flags & RDONLY else b"", wish.options) if word]
    argv = [program.encode(), *(os.fsencode(Path(where, os.fsdecode(path))) for path in (wish.source, wish.target))]
    if words:
        argv += [b"-o", b",".join(words)]
    lxcpath = _lxcpath(call)
    null = os.open(os.devnull, os.O_RDWR)
    container = liblxc.Container(liblxc.load(), call.container, lxcpath)
    call.check()
    unwritable.hide()
    try:
        pid = container.attach(argv, [PATH], b"/", (0, 0), [null, null, null])
    except liblxc.Library:
        return failed(errno.EIO)
    _, status = os.waitpid(pid, 0)
    return Outcome() if status == 0 else failed(errno.EINVAL)


def _lxcpath(call: Call) -> str:
    """Where the container's monitor has its directory. Source: liblxc's title of it, [lxc monitor] PATH NAME."""
    title = Path(f"/proc/{call.monitor_pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    return title.removeprefix("[lxc monitor] ").removesuffix(f" {call.container}").strip()
