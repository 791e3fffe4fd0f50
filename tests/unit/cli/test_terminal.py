"""The pump between websockets and descriptors."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from lightervisor.cli.terminal import Pump
from lightervisor.client.light_http import Wire
from lightervisor.client.light_websocket import BINARY, TEXT, FrameReader, WebSocket

BARRIER = bytes((0x80 | TEXT, 0))


def server_frame(data: bytes) -> bytes:
    """A frame as servers send it: not masked."""
    assert len(data) < 126
    return bytes((0x80 | BINARY, len(data))) + data


class Ends:
    """A websocket, the server's end of it, and a pipe to show it in."""

    def __init__(self, early: bytes = b"") -> None:
        ours, self.server = socket.socketpair()
        self.server.settimeout(5)
        wire = Wire(ours, "unix.socket", is_local=True)
        wire.buffer = early
        self.socket = WebSocket(wire)
        self.reader, self.writer = os.pipe()

    def shown(self) -> bytes:
        """What was written to the pipe."""
        os.close(self.writer)
        return os.read(self.reader, 65536)

    def close(self) -> None:
        """Close what is open."""
        self.socket.close()
        self.server.close()
        os.close(self.reader)

    def told(self) -> list[tuple[int, bytes]]:
        """What the server has received so far."""
        return FrameReader().feed(self.server.recv(65536))


Make = Callable[..., Ends]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes ends, and closes them."""
    made: list[Ends] = []

    def new(early: bytes = b"") -> Ends:
        made.append(Ends(early))
        return made[-1]

    yield new
    for ends in made:
        ends.close()


def test_what_came_with_the_handshake_is_shown_and_ends_it(make: Make) -> None:
    """The server may have said all there is before we listen; nothing more comes to wake us."""
    ends = make(server_frame(b"early") + BARRIER)
    pump = Pump()
    pump.show(ends.socket, ends.writer)
    pump.run()
    assert ends.shown() == b"early"


def test_output_is_shown_until_its_end(make: Make) -> None:
    ends = make()
    pump = Pump()
    pump.show(ends.socket, ends.writer)
    ends.server.sendall(server_frame(b"one ") + server_frame(b"two"))
    ends.server.sendall(BARRIER + server_frame(b"after the end"))
    pump.run()
    assert ends.shown() == b"one two"


def test_a_server_that_hangs_up_ends_it(make: Make) -> None:
    ends = make(server_frame(b"last words"))
    ends.server.close()
    pump = Pump()
    pump.show(ends.socket, ends.writer)
    pump.run()
    assert ends.shown() == b"last words"


def test_input_and_its_end_are_told_to_the_server(make: Make) -> None:
    ends = make()
    source, sink = os.pipe()
    os.write(sink, b"typed")
    os.close(sink)
    pump = Pump()
    pump.show(ends.socket, ends.writer)
    pump.forward(source, ends.socket)
    received: list[tuple[int, bytes]] = []

    def serve() -> None:
        while (TEXT, b"") not in received:
            received.extend(ends.told())
        ends.server.sendall(BARRIER)

    server = threading.Thread(target=serve)
    server.start()
    pump.run()
    server.join()
    os.close(source)
    assert received == [(BINARY, b"typed"), (TEXT, b"")]


def test_a_signal_is_handled_on_the_loop_and_its_old_meaning_comes_back(make: Make) -> None:
    ends = make()
    got: list[int] = []

    def handle(number: int) -> None:
        got.append(number)
        ends.server.sendall(BARRIER)

    before = signal.getsignal(signal.SIGUSR1)
    pump = Pump()
    pump.show(ends.socket, ends.writer)
    pump.on_signals({signal.SIGUSR1: handle})
    os.kill(os.getpid(), signal.SIGUSR1)
    pump.run()
    assert got == [signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) == before
