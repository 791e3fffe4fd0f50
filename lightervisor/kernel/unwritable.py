"""Programs of ours that enter guests run from mounts on which nobody can write, and show nobody their memory.

A process that enters a guest is among the guest's own for a moment, and what the guest runs there may be that process'
own program (`#!/proc/self/exe`). The root of a privileged container could open the host's file by it, or by the
libraries that are mapped, and write to it later. So such a program is started where a copy of all mounts is read-only,
loads what it needs, and goes home: what it has loaded stays on mounts that belong to no namespace any more, which
nobody can make writable. Source: CVE-2019-5736; mount_namespaces(7), mount_setattr(2), proc(5) on map_files.

`process.spawn_for_guests` starts it so, here is what the program itself does: standard library only.
"""

import ctypes
import os

_CLONE_NEWNS, _PR_SET_DUMPABLE = 0x20000, 4


def home() -> "list[int]":
    """Two descriptors by which a program finds back to the mounts of this process: for `settle`."""
    return [
        os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC),
        os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC),
    ]


def settle(mounts: int, root: int) -> None:
    """All that this process needs is loaded: go home by the descriptors of `home`, for good. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(mounts, _CLONE_NEWNS) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")
    os.fchdir(root)
    os.chroot(".")
    os.close(mounts)
    os.close(root)


def hide() -> None:
    """Nobody in a user namespace of a guest may trace this process or look at its files, until it runs a program.

    Source: CVE-2016-9962; PR_SET_DUMPABLE(2const), ptrace(2) on access modes.
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
