"""The sockets of a forwarder: those that listen, made where they are wanted, and those that connect.

Runs in the forwarder's process only, which is small: nothing but the standard library's basics is imported.
"""

import contextlib
import errno
import os
import socket
import stat

from lightervisor.kernel import syscalls

BACKLOG = 4096
LONGEST = 107
"""Bytes in the path of a unix socket. Source: unix(7)."""


class Refused(Exception):
    """One sentence for the user."""


class Address:
    """One side of a proxy: kind (tcp, udp, unix), host or path, and ports in order."""

    def __init__(self, kind: str, host: str, ports: "list[int]") -> None:
        self.kind, self.host, self.ports = kind, host, ports

    @property
    def is_path(self) -> bool:
        """Whether it is a unix socket that lies in a file system."""
        return self.kind == "unix" and not self.host.startswith("@")

    @property
    def type(self) -> int:
        """SOCK_DGRAM or SOCK_STREAM."""
        return socket.SOCK_DGRAM if self.kind == "udp" else socket.SOCK_STREAM

    def __len__(self) -> int:
        return 1 if self.kind == "unix" else len(self.ports)

    def new(self) -> socket.socket:
        """A socket that fits."""
        family = socket.AF_UNIX
        if self.kind != "unix":
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        made = socket.socket(family, self.type)
        made.setblocking(False)
        if self.kind == "tcp":
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def place(self, index: int) -> "str | bytes | tuple[str, int]":
        """What bind and connect want for the port of this number."""
        if self.kind == "unix":
            return b"\0" + self.host[1:].encode() if self.host.startswith("@") else self.host
        return (self.host or "0.0.0.0", self.ports[min(index, len(self.ports) - 1)])  # noqa: S104

    def shown(self, index: int) -> str:
        """For a person."""
        if self.kind == "unix":
            return self.host
        port = self.ports[min(index, len(self.ports) - 1)]
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


class Owner:
    """Whose the path of a unix socket becomes."""

    def __init__(self, uid: int, gid: int, mode: int) -> None:
        self.uid, self.gid, self.mode = uid, gid, mode


def listen(address: Address, owner: Owner) -> "list[socket.socket]":
    """Listen at every port of an address, in the namespaces of the caller. Raises Refused, with none left open."""
    made: list[socket.socket] = []
    try:
        for index in range(len(address)):
            one = address.new()
            made.append(one)
            if address.kind == "tcp":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(one, address, index, owner)
            if address.type == socket.SOCK_STREAM:
                one.listen(BACKLOG)
    except OSError as error:
        shown = address.shown(len(made) - 1) if made else address.host
        for one in made:
            one.close()
        raise Refused(f"Failed to listen on {shown}: {error.strerror or error}") from error
    return made


def _bind(one: socket.socket, address: Address, index: int, owner: Owner) -> None:
    if not address.is_path:
        one.bind(address.place(index))
        return
    if len(address.host.encode()) > LONGEST:
        raise OSError(errno.ENAMETOOLONG, f"the path is longer than {LONGEST} bytes")
    before = os.umask(0o177)  # nobody connects before the mode is the one asked for
    try:
        try:
            one.bind(address.host)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_abandoned(address.host):
                raise
            os.unlink(address.host)  # noqa: PTH108 - pathlib is too large for this
            one.bind(address.host)
    finally:
        os.umask(before)
    os.chown(address.host, owner.uid, owner.gid, follow_symlinks=False)
    os.chmod(address.host, owner.mode)  # noqa: PTH101 - as above


def _is_abandoned(path: str) -> bool:
    """Whether it is a socket behind which nobody listens any more."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


class Namespaces:
    """Descriptors of the instance's namespaces; `user` is None when it has the host's own."""

    def __init__(self, net: int, mnt: int, user: "int | None") -> None:
        self.net, self.mnt, self.user = net, mnt, user
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def listen(self, address: Address, owner: Owner) -> "list[socket.socket]":
        """Listen inside the instance. Raises Refused."""
        syscalls.enter_network_namespace(self.net)
        try:
            return [self._listen_at_path(address, owner)] if address.is_path else listen(address, owner)
        finally:
            syscalls.enter_network_namespace(self._home)

    def _listen_at_path(self, address: Address, owner: Owner) -> socket.socket:
        """A child enters the instance's file system as its root, listens there and hands the socket over."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if child == 0:
            try:
                self.enter(files=True)
                become(0, 0)
                (made,) = listen(address, owner)
                socket.send_fds(theirs, [b"ok"], [made.fileno()])
            except (OSError, Refused) as error:
                theirs.send(str(error).encode())
            finally:
                os._exit(0)
        theirs.close()
        said, fds, _, _ = socket.recv_fds(ours, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        ours.close()
        os.waitpid(child, 0)
        if not fds:
            raise Refused(said.decode(errors="replace") or "the process that listens there has ended")
        made = socket.socket(fileno=fds[0])
        made.setblocking(False)
        return made

    def enter(self, *, files: bool) -> None:
        """Go there for good: the network, its file system when `files`, and its users. Raises OSError."""
        syscalls.enter_network_namespace(self.net)
        if files:
            syscalls.enter_mount_namespace(self.mnt)
        if self.user is not None:
            syscalls.enter_user_namespace(self.user)

    def close(self) -> None:
        """Let go of all, so that the instance can end."""
        for one in (self.net, self.mnt, self.user, self._home):
            if one is not None:
                os.close(one)


def become(uid: int, gid: int) -> None:
    """Take an identity in the user namespace the process is in. Raises OSError."""
    with contextlib.suppress(PermissionError):  # the user namespace may forbid it: then there are none to lose
        os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
