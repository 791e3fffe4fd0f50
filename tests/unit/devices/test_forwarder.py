"""A proxy's bytes: slow readers, half-closed connections, who is greeted."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lightervisor.devices.forwarder.relay import Loop, Streams, greeting
from lightervisor.devices.forwarder.sockets import Address, Owner, Refused, listen
from tests.harness.servers import ask, echo, listener, serving

HERE = "127.0.0.1"


@contextmanager
def forwarding(target: int, *, greets: bool = False) -> Iterator[int]:
    """A forwarder to a port, in a process as it is meant to be; the port that it listens at."""
    (server,) = listen(Address("tcp", HERE, [0]), Owner(0, 0, 0))
    child = os.fork()
    if child == 0:
        try:
            loop = Loop()
            Streams(loop, Address("tcp", HERE, [target]), greets=greets).serve(server, 0)
            loop.run()
        finally:
            os._exit(1)
    try:
        with server:
            yield server.getsockname()[1]
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it has ended"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_slow_reader_gets_everything() -> None:
    data = os.urandom(8 << 20)
    with (
        serving(listener((HERE, 0))) as server,
        forwarding(server.getsockname()[1]) as port,
        socket.create_connection((HERE, port)) as client,
    ):
        client.settimeout(30)
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        got = bytearray()
        while part := client.recv(1 << 12):
            got += part
        sender.join(30)
    assert bytes(got) == data


def test_an_end_of_one_side_leaves_the_other_open() -> None:
    def answer_after_the_end(connection: socket.socket) -> None:
        said = b"".join(iter(lambda: connection.recv(100), b""))
        connection.sendall(b"all of " + said)

    with serving(listener((HERE, 0)), answer_after_the_end) as server, forwarding(server.getsockname()[1]) as port:
        assert ask(socket.create_connection((HERE, port)), b"it") == b"all of it"


def test_nobody_there_ends_the_connection() -> None:
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        with forwarding(taken.getsockname()[1]) as port:
            assert ask(socket.create_connection((HERE, port)), b"") == b""


def test_many_at_once() -> None:
    with serving(listener((HERE, 0)), echo) as server, forwarding(server.getsockname()[1]) as port:
        clients = [socket.create_connection((HERE, port)) for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(f"{number}".encode())
        for number, client in enumerate(clients):
            client.settimeout(10)
            assert client.recv(10) == f"{number}".encode()
            client.close()


def test_a_forged_greeting_comes_second() -> None:
    with serving(listener((HERE, 0)), echo) as server, forwarding(server.getsockname()[1], greets=True) as port:
        client = socket.create_connection((HERE, port))
        own = client.getsockname()[1]
        forged = b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"
        assert ask(client, forged) == f"PROXY TCP4 {HERE} {HERE} {own} {port}\r\n".encode() + forged


def test_who_comes_by_a_unix_socket_is_unknown() -> None:
    first, second = socket.socketpair()
    with first, second:
        assert greeting(first, "") == b"PROXY UNKNOWN\r\n"


def test_a_port_that_is_taken_leaves_none_open() -> None:
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"Failed to listen on {HERE}:{port}: Address already in use"):
            listen(Address("tcp", HERE, [0, port]), Owner(0, 0, 0))
