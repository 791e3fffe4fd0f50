"""Bytes from socket to socket, on one epoll: streams in pairs, datagrams by who sent them.

Runs in the forwarder's process only. Source: epoll(7), unix(7) SCM_RIGHTS, haproxy.org's proxy-protocol.txt.
"""

import array
import errno
import os
import select
import socket
import time
from collections import OrderedDict
from collections.abc import Callable

from lightervisor.devices.forwarder.sockets import Address

IN, OUT, ENDED = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR | select.EPOLLHUP
WINDOW = 1 << 18
MOST_DESCRIPTORS = 253
"""In one message of a unix socket. Source: unix(7)."""
MOST_SENDERS = 4096
QUIET_S = 180.0
"""A sender of datagrams that is silent for so long, and gets no answer, is forgotten: as the kernel's own NAT."""
Ready = Callable[[int], None]
Later = (BlockingIOError, InterruptedError)


class Loop:
    """Calls who waits for a descriptor, until `stop`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, Ready] = {}
        self._now: set[int] = set()
        self.window = memoryview(bytearray(WINDOW))
        self.every_so_often: Callable[[], None] | None = None
        self._stopped = False

    def watch(self, descriptor: int, events: int, ready: Ready) -> None:
        """Call `ready(events)` when one of these events is there; again and again."""
        self._epoll.register(descriptor, events)
        self._waiting[descriptor] = ready

    def change(self, descriptor: int, events: int) -> None:
        """Wait for others than before; of an error and a hang-up it is told always."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Before it is closed: also what is there already is not told any more."""
        self._epoll.unregister(descriptor)
        del self._waiting[descriptor]
        self._now.discard(descriptor)

    def stop(self, _events: int = 0) -> None:
        """Return from `run`."""
        self._stopped = True

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped:
            found = self._epoll.poll(QUIET_S / 4 if self.every_so_often else None)
            self._now = {descriptor for descriptor, _ in found}
            for descriptor, events in found:
                # One that was closed on the way, its number given to a new one meanwhile, is not in there any more.
                if descriptor in self._now:
                    self._waiting[descriptor](events)
            if self.every_so_often is not None:
                self.every_so_often()


class End:
    """One of the two ends of a pair: what was read from the other and waits to be sent here.

    `events` is what is waited for: nothing, not even a hang-up, when it is 0.
    """

    def __init__(self, one: socket.socket) -> None:
        self.socket, self.number = one, one.fileno()
        self.pending: bytes | memoryview = b""
        self.descriptors: list[int] = []
        self.has_ended = self.was_told = False
        self.events = 0
        self.is_stream = one.type == socket.SOCK_STREAM


class Pair:
    """Two sockets, each of which gets what the other says; the second may still be connecting."""

    def __init__(self, loop: Loop, first: socket.socket, second: socket.socket, greeting: bytes) -> None:
        self._loop, self._ends = loop, (End(first), End(second))
        self._connecting = True
        self._ends[1].pending = greeting
        # Descriptors are handed on where both can carry them: as Wayland and X11 do.
        self._carries = first.family == second.family == socket.AF_UNIX
        self._wait(self._ends[1], OUT)

    def _wait(self, end: End, events: int) -> None:
        if events == end.events:
            return
        if not events:
            self._loop.forget(end.number)
        elif end.events:
            self._loop.change(end.number, events)
        else:
            number = self._ends.index(end)
            self._loop.watch(end.number, events, lambda found: self._ready(number, found))
        end.events = events

    def _ready(self, number: int, events: int) -> None:
        here, there = self._ends[number], self._ends[1 - number]
        try:
            if self._connecting:
                if error := here.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(error, os.strerror(error))
                self._connecting = False
            if events & (OUT | ENDED):
                self._send(here)
            if events & (IN | ENDED) and not there.pending and not here.has_ended:
                self._receive(here, there)
        except OSError:
            self._close()
            return
        if all(end.was_told for end in self._ends):
            self._close()
            return
        for end, other in (self._ends, self._ends[::-1]):
            self._wait(end, (OUT if end.pending else 0) | (IN if not other.pending and not end.has_ended else 0))

    def _receive(self, here: End, there: End) -> None:
        window = self._loop.window
        try:
            if self._carries:
                size, given = self._receive_descriptors(here)
                there.descriptors += given
            else:
                size = here.socket.recv_into(window)
        except Later:
            return
        if size == 0 and here.is_stream:
            here.has_ended = True
        there.pending = window[:size]
        self._send(there)
        if there.pending:
            there.pending = bytes(there.pending)  # the window is everybody's

    def _receive_descriptors(self, here: End) -> "tuple[int, list[int]]":
        room = socket.CMSG_SPACE(MOST_DESCRIPTORS * 4)
        size, extra, _, _ = here.socket.recvmsg_into([self._loop.window], room, socket.MSG_CMSG_CLOEXEC)
        given = array.array("i")
        for level, kind, data in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                given.frombytes(data[: len(data) - len(data) % given.itemsize])
        return size, list(given)

    def _send(self, end: End) -> None:
        other = self._ends[0] if end is self._ends[1] else self._ends[1]
        if end is self._ends[1] and self._connecting:
            return
        while end.pending:
            try:
                if end.descriptors:
                    sent = socket.send_fds(end.socket, [end.pending], end.descriptors)
                    _close_all(end.descriptors)
                else:
                    sent = end.socket.send(end.pending)
            except Later:
                return
            end.pending = end.pending[sent:]
        end.pending = b""
        if other.has_ended and not end.was_told:
            end.was_told = True
            if end.is_stream:
                end.socket.shutdown(socket.SHUT_WR)
            else:  # nothing tells when the other side of datagrams has ended
                end.has_ended = True
                self._send(other)

    def _close(self) -> None:
        for end in self._ends:
            self._wait(end, 0)
            _close_all(end.descriptors)
            end.socket.close()


def _close_all(descriptors: "list[int]") -> None:
    for one in descriptors:
        os.close(one)
    descriptors.clear()


class Streams:
    """Accepts connections and pairs each with one to the other side."""

    def __init__(self, loop: Loop, target: Address, *, greets: bool) -> None:
        self._loop, self._target, self._greets = loop, target, greets
        self._reserve = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def serve(self, listener: socket.socket, index: int) -> None:
        """Accept at this socket; what comes goes to the port of this number."""
        self._loop.watch(listener.fileno(), IN, lambda _events: self._accept(listener, index))

    def _accept(self, listener: socket.socket, index: int) -> None:
        try:
            first, peer = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._turn_away(listener)
            return
        first.setblocking(False)
        try:
            second = self._target.new()
        except OSError:
            first.close()
            return
        try:
            second.connect(self._target.place(index))
        except Later:
            pass
        except OSError:
            first.close()
            second.close()
            return
        if first.family != socket.AF_UNIX:
            first.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Pair(self._loop, first, second, greeting(first, peer) if self._greets else b"")

    def _turn_away(self, listener: socket.socket) -> None:
        """No descriptor is left: the one kept for this is used to accept and hang up, else it would wait for ever."""
        os.close(self._reserve)
        try:
            listener.accept()[0].close()
        except OSError:
            pass
        finally:
            self._reserve = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def greeting(first: socket.socket, peer: "tuple[str, int] | str") -> bytes:
    """The PROXY protocol's line, version 1, about who connected."""
    if first.family == socket.AF_UNIX:
        return b"PROXY UNKNOWN\r\n"
    own = first.getsockname()
    hosts = [str(peer[0]).partition("%")[0], str(own[0]).partition("%")[0]]
    if all(host.startswith("::ffff:") for host in hosts):
        hosts = [host.removeprefix("::ffff:") for host in hosts]
    version = "TCP6" if ":" in hosts[0] else "TCP4"
    return f"PROXY {version} {hosts[0]} {hosts[1]} {peer[1]} {own[1]}\r\n".encode()


class Sender:
    """Somebody who sent datagrams, and the socket on the other side that speaks for them."""

    def __init__(self, speaker: socket.socket) -> None:
        self.speaker, self.heard_s = speaker, time.monotonic()


class Datagrams:
    """Hands on datagrams of listening sockets, and the answers to who sent them."""

    def __init__(self, loop: Loop, target: Address) -> None:
        self._loop, self._target = loop, target
        self._senders: OrderedDict[tuple[int, object], Sender] = OrderedDict()
        loop.every_so_often = self._forget_quiet

    def serve(self, listener: socket.socket, index: int) -> None:
        """Receive at this socket; what comes goes to the port of this number."""
        self._loop.watch(listener.fileno(), IN, lambda _events: self._receive(listener, index))

    def _receive(self, listener: socket.socket, index: int) -> None:
        try:
            size, peer = listener.recvfrom_into(self._loop.window)
            sender = self._senders.get((index, peer)) or self._meet(listener, index, peer)
            sender.heard_s = time.monotonic()
            self._senders.move_to_end((index, peer))
            sender.speaker.send(self._loop.window[:size])
        except OSError:  # lost, as datagrams may be
            return

    def _meet(self, listener: socket.socket, index: int, peer: "tuple[str, int]") -> Sender:
        speaker = self._target.new()
        try:
            if self._target.type == socket.SOCK_STREAM:
                speaker.settimeout(1.0)  # the first datagram waits for the connection: a moment, on one machine
            speaker.connect(self._target.place(index))
            speaker.setblocking(False)
        except BaseException:
            speaker.close()
            raise
        while len(self._senders) >= MOST_SENDERS:
            self._drop(next(iter(self._senders)))
        self._senders[index, peer] = sender = Sender(speaker)
        self._loop.watch(speaker.fileno(), IN, lambda _events: self._answer(listener, (index, peer), sender))
        return sender

    def _answer(self, listener: socket.socket, who: "tuple[int, tuple[str, int]]", sender: Sender) -> None:
        try:
            size = sender.speaker.recv_into(self._loop.window)
            if size == 0 and sender.speaker.type == socket.SOCK_STREAM:
                self._drop(who)
                return
            sender.heard_s = time.monotonic()
            listener.sendto(self._loop.window[:size], who[1])
        except ConnectionError:  # nobody listens there now
            self._drop(who)
        except OSError:
            return

    def _drop(self, who: "tuple[int, object]") -> None:
        sender = self._senders.pop(who)
        self._loop.forget(sender.speaker.fileno())
        sender.speaker.close()

    def _forget_quiet(self) -> None:
        limit = time.monotonic() - QUIET_S
        while self._senders:
            who, sender = next(iter(self._senders.items()))
            if sender.heard_s > limit:
                return
            self._drop(who)
