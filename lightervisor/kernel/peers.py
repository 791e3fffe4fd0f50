"""Who is at the other end of a unix socket, as the kernel knows it, and which pid namespaces that process is in.

A process cannot leave its pid namespace and its descendants, whatever it does with users, mounts and names: that it
is inside another's namespace is what makes it part of a container. Nothing that a process says about itself counts.
Source: unix(7), SO_PEERCRED and SO_PEERPIDFD; ioctl_ns(2); pid_namespaces(7).
"""

import errno
import fcntl
import os
import socket
import struct
from typing import NamedTuple

from lightervisor.kernel import pidfd

Namespace = tuple[int, int]
_SO_PEERPIDFD = 77
_NS_GET_PARENT = 0xB702
_CREDENTIALS = struct.Struct("iII")


class Peer(NamedTuple):
    """Who connected: the user, as a host's id, and its pid namespace with those above, below the daemon's own."""

    uid: int
    namespaces: list[Namespace]


def peer_of(connection: socket.socket) -> Peer | None:
    """Who connected; None when that process has ended, so that its pid may be another's by now."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    process = _descriptor(connection, pid)
    if process is None:
        return None
    try:
        namespaces = pid_namespaces(pid)
        # It lives, so its pid was nobody else's while its namespaces were read.
        return None if pidfd.has_ended(process) else Peer(uid, namespaces)
    except OSError:
        return None
    finally:
        os.close(process)


def _descriptor(connection: socket.socket, pid: int) -> int | None:
    if pid <= 0:
        return None
    try:
        return connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        # Before Linux 6.5 the pid is all there is. Who could still make it another's has to be inside already.
        return pidfd.open_process(pid) if error.errno == errno.ENOPROTOOPT else None


def pid_namespaces(pid: int) -> list[Namespace]:
    """A process's pid namespace and those above it, nearest first, below the caller's own. Raises OSError."""
    own = os.stat("/proc/self/ns/pid")  # noqa: PTH116 - a link of the kernel, not a path
    found: list[Namespace] = []
    descriptor = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == (own.st_dev, own.st_ino):
                return found
            found.append((status.st_dev, status.st_ino))
            above = fcntl.ioctl(descriptor, _NS_GET_PARENT)
        except PermissionError:  # above the caller's own
            return found
        finally:
            os.close(descriptor)
        descriptor = above
