"""Who makes an intercepted call: its identity and namespaces, and a child of ours that takes them on.

Paths are looked up by such a child alone, with the caller's own rights: what it may not reach is not found. What needs
the host's rights is then done to the descriptor that it found, so nothing can be swapped in between.
Standard library only. Source: user_namespaces(7), setns(2), capabilities(7), credentials(7), proc(5).
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable

from lightervisor.kernel import syscalls
from lightervisor.runtime.interception.messages import Call

CAP_MKNOD, CAP_SYS_ADMIN, CAP_SYS_NICE = 27, 21, 23
AT_FDCWD = -100
_AT_EACCESS, _AT_EMPTY_PATH, _FACCESSAT2 = 0x200, 0x1000, 439
_SECBIT_NO_SETUID_FIXUP, _PR_SET_SECUREBITS, _PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 4, 28, 1, 4
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


class Caller:
    """The thread that waits for its call. Everything of it is read below the descriptor of its /proc directory."""

    def __init__(self, call: Call) -> None:
        self._call = call
        lines = self._file("status").splitlines()
        self._status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        call.check()

    def _file(self, name: str) -> str:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._call.process)
        with os.fdopen(descriptor) as file:
            return file.read()

    @property
    def process_id(self) -> int:
        """The host's pid of its process; the call's is of the thread."""
        return int(self._status["Tgid"][0])

    @property
    def file_ids(self) -> tuple[int, int]:
        """The host's user and group of files that it makes."""
        return int(self._status["Uid"][3]), int(self._status["Gid"][3])

    @property
    def umask(self) -> int:
        """Its umask."""
        return int(self._status["Umask"][0], 8)

    def has(self, capability: int) -> bool:
        """Whether it has this capability in its user namespace."""
        return bool(int(self._status["CapEff"][0], 16) >> capability & 1)

    def is_of_container(self, *namespaces: str) -> bool:
        """Whether it is in the same namespaces as its container's init: one inside that made its own is nobody here."""
        return all(
            os.stat(f"ns/{kind}", dir_fd=self._call.process).st_ino
            == os.stat(f"/proc/{self._call.init_pid}/ns/{kind}").st_ino  # noqa: PTH116 - of the host's own /proc
            for kind in namespaces
        )

    def descriptor(self, number: int) -> int:
        """What a descriptor of it refers to, as a path to work with. Raises OSError with EBADF."""
        try:
            return os.open(f"fd/{number}", os.O_PATH | os.O_CLOEXEC, dir_fd=self._call.process)
        except FileNotFoundError as error:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error

    def namespace(self, kind: str) -> int:
        """A descriptor of one of its namespaces."""
        return os.open(f"ns/{kind}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._call.process)

    def find(self, look: Callable[[int], "list[int]"], directory: int = AT_FDCWD) -> "list[int]":
        """What `look` opens as this caller, called with a descriptor of where its paths begin.

        `directory` is the caller's number of a directory. Raises what the look-up raised.
        """
        start = self.descriptor(directory) if directory != AT_FDCWD else -1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                self._become()
                found = look(start if start >= 0 else AT_FDCWD)
                socket.send_fds(theirs, [b"\0\0\0\0"], found)
            except OSError as error:
                theirs.send(struct.pack("=i", error.errno or errno.EIO))
            finally:
                os._exit(0)
        theirs.close()
        if start >= 0:
            os.close(start)
        with ours:
            message, descriptors, _, _ = socket.recv_fds(ours, 16, 8, socket.MSG_CMSG_CLOEXEC)
        os.waitpid(pid, 0)
        self._call.check()
        number = struct.unpack("=i", message)[0] if len(message) == 4 else errno.EIO
        if number:
            raise OSError(number, os.strerror(number))
        return descriptors

    def _become(self) -> None:
        """Take on its ids, namespaces, root, directory and capabilities; there is no way back."""
        _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
        root, directory = (os.open(name, os.O_PATH, dir_fd=self._call.process) for name in ("root", "cwd"))
        namespaces = [self.namespace(kind) for kind in ("mnt", "user")]
        is_mapped = not os.path.samestat(os.fstat(namespaces[1]), os.stat("/proc/self/ns/user"))  # noqa: PTH116
        _checked(_libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
        os.setgroups([int(group) for group in self._status["Groups"]])
        os.setresgid(*(int(number) for number in self._status["Gid"][:3]))
        os.setresuid(*(int(number) for number in self._status["Uid"][:3]))
        self._call.check()
        if is_mapped:
            _checked(_libc.setns(namespaces[1], 0))
        syscalls.enter_mount_namespace(namespaces[0])
        os.fchdir(root)
        os.chroot(".")
        os.fchdir(directory)
        os.umask(self.umask)
        _checked(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
        effective = int(self._status["CapEff"][0], 16)
        low, high = effective & 0xFFFFFFFF, effective >> 32
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        _checked(_libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)))


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def may_write(descriptor: int, mode: int = os.W_OK) -> None:
    """Raise OSError unless this process may do so to what a descriptor refers to. Source: faccessat2(2)."""
    flags = _AT_EACCESS | _AT_EMPTY_PATH
    _checked(_libc.syscall(ctypes.c_long(_FACCESSAT2), descriptor, b"", mode, flags))
