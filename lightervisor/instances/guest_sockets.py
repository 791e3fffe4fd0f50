"""The sockets of the guest API: one for each running container, in a directory that the container sees as /dev/lxd.

LXD has one socket for all. With one for each, what a guest can do to it, it does to itself: when it comes too often
its own queue fills, it cannot take the socket away from others where it is privileged, and where a connection comes in
says already whose it may be. That is not believed alone: the kernel tells who connected (`kernel/peers.py`).

The sockets outlive nothing: a daemon that starts makes them anew in the same directories, where containers still see
them. Source: LXD, communication between instance and host.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lightervisor.config.names import volume_name
from lightervisor.errors import Invalid
from lightervisor.kernel import mounts, paths
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.peers import peer_of, pid_namespaces

MOST_CONNECTIONS = 32
MOST_REFUSED = 8
MOST_EXPORTS = 2
BACKLOG = 128
PER_S, BURST = 100.0, 400.0
ROOM = "size=100k,mode=0711"
SOCKET = "sock"
log = logging.getLogger(__name__)
FindGuest = Callable[[str], Guest | None]


class Allowance:
    """How much of the daemon's time one guest may have: units that come back with time."""

    def __init__(self, per_s: float = PER_S, burst: float = BURST) -> None:
        self._per_s, self._burst = per_s, burst
        self._left, self._at = burst, time.monotonic()

    def take(self, units: float) -> float:
        """Take some, more than there are if need be; the seconds to wait until none are owed."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) - units
        self._at = now
        return max(0.0, -self._left / self._per_s)


@dataclass(eq=False)
class GuestConnection:
    """Somebody has connected; `refusal` says why that is not the root of the container, empty if it is."""

    socket: socket.socket
    guest: "GuestSocket"
    refusal: str

    def ended(self) -> None:
        """It is closed: another one may come."""
        self.guest.leave(self)

    async def may_go_on(self, units: float) -> None:
        """Wait until this guest may have so much of the daemon's time."""
        if (wait_s := self.guest.allowance.take(units)) > 0:
            await asyncio.sleep(wait_s)


@dataclass(eq=False)
class GuestSocket:
    """The socket of one container, and who is connected there."""

    project: str
    name: str
    listener: socket.socket
    find: Callable[[], Guest | None]
    arrivals: "asyncio.Queue[GuestConnection]"
    allowance: Allowance = field(default_factory=Allowance)
    exports: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_EXPORTS))
    connections: set[GuestConnection] = field(default_factory=set[GuestConnection])
    is_open: bool = False
    _pause: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Let in who waits, and who comes from now on."""
        self.is_open = True
        asyncio.get_running_loop().add_reader(self.listener, self._admit)

    def close(self) -> None:
        """The container has ended: nobody comes any more, and who is connected is cut off."""
        self._stop_looking()
        self.is_open = False
        self.listener.close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def leave(self, connection: GuestConnection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self.is_open and self._pause is None:
            asyncio.get_running_loop().add_reader(self.listener, self._admit)

    def _admit(self) -> None:
        """Take one connection; the others wait in the kernel's queue, and when that is full, in the guest."""
        if len(self.connections) >= MOST_CONNECTIONS:
            asyncio.get_running_loop().remove_reader(self.listener)
            return
        try:
            accepted, _ = self.listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # no descriptors are left
            log.warning("instance %s: no connection to the guest API can be taken: %s", self.name, error.strerror)
            self._rest(1.0)
            return
        accepted.setblocking(False)
        connection = GuestConnection(accepted, self, self._refusal(accepted))
        if connection.refusal and sum(bool(one.refusal) for one in self.connections) >= MOST_REFUSED:
            accepted.close()  # the places are for root
        else:
            self.connections.add(connection)
            self.arrivals.put_nowait(connection)
        if (wait_s := self.allowance.take(1)) > 0:
            self._rest(wait_s)

    def _refusal(self, accepted: socket.socket) -> str:
        peer, guest = peer_of(accepted), self.find()
        if peer is None or guest is None or not _is_inside(peer.namespaces, guest):
            return "pid not in container?"
        try:
            is_root = peer.uid == guest.uid
        except Invalid:  # its map has no root
            is_root = False
        return "" if is_root else "Access denied for non-root user"

    def _rest(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.listener)
        self._pause = loop.call_later(wait_s, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(self.listener, self._admit)

    def _stop_looking(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self.is_open:
            asyncio.get_running_loop().remove_reader(self.listener)


def _is_inside(namespaces: list[tuple[int, int]], guest: Guest) -> bool:
    """Whether a process in these pid namespaces is in this container, or in one that was made in there."""
    try:
        own = pid_namespaces(guest.pid)
    except OSError:  # init has just ended
        return False
    return bool(own) and own[0] in namespaces


class GuestSockets:
    """The sockets of all running containers, below `directory` ($LXD_DIR/devlxd)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sockets: dict[str, GuestSocket] = {}
        self._arrivals: asyncio.Queue[GuestConnection] = asyncio.Queue()

    def start(self) -> None:
        """Make the place of the sockets: a file system of its own, so that containers see no part of the host's."""
        self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        if not mounts.is_mountpoint(self._directory):
            mounts.mount("tmpfs", self._directory, "tmpfs", data=ROOM)

    def stop(self) -> None:
        """The daemon ends: nobody is let in any more. Where containers run on, the place stays for the next daemon."""
        for guest in self._sockets.values():
            guest.close()
        if not self._sockets:
            mounts.umount(self._directory, lazy=True)

    async def next(self) -> GuestConnection:
        """Wait for the next connection."""
        return await self._arrivals.get()

    def prepare(self, project: str, name: str, find: FindGuest) -> Path:
        """Listen for a container that is to start or runs; who connects waits. The directory with the socket.

        `find(container)`: its init and root, while it runs. Raises OSError.
        """
        container = volume_name(project, name)
        self.forget(project, name)
        directory = self._directory / container
        directory.mkdir(mode=0o755, exist_ok=True)
        listener = _listener(directory)
        self._sockets[container] = GuestSocket(project, name, listener, lambda: find(container), self._arrivals)
        return directory

    def open(self, project: str, name: str) -> None:
        """The container runs: let in who connects."""
        if (guest := self._sockets.get(volume_name(project, name))) is not None and not guest.is_open:
            guest.open()

    def forget(self, project: str, name: str) -> None:
        """The container has ended. May be called twice; the directory stays, as it may be mounted."""
        if (guest := self._sockets.pop(volume_name(project, name), None)) is not None:
            guest.close()

    def remove(self, project: str, name: str) -> None:
        """The container has ended, and nothing of its socket stays. May be called twice."""
        self.forget(project, name)
        paths.remove_tree(self._directory / volume_name(project, name))


def _listener(directory: Path) -> socket.socket:
    # By descriptor: the whole path may be longer than an address of a socket.
    descriptor = paths.open_root(directory)
    listener = socket.socket(socket.AF_UNIX)
    try:
        with suppress(FileNotFoundError):
            os.unlink(SOCKET, dir_fd=descriptor)
        listener.bind(f"/proc/self/fd/{descriptor}/{SOCKET}")
        _open_to_all(descriptor)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(descriptor)
    return listener


def _open_to_all(directory: int) -> None:
    # A privileged guest may have put a link there by now, which must not be followed.
    made = os.open(SOCKET, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        Path(f"/proc/self/fd/{made}").chmod(0o666)
    finally:
        os.close(made)
