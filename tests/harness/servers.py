"""Small servers and clients of tests, in network namespaces of running containers or in the host's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightervisor.kernel import guests
from lightervisor.kernel.idmap import map_of_process
from tests.harness.processes import PATIENCE_S

Serve = Callable[[socket.socket], None]


def socket_in(pid: int | None, make: Callable[[], socket.socket]) -> socket.socket:
    """A socket made in the network of a process, or here without one."""
    if pid is None:
        return make()
    made: list[socket.socket] = []
    guests.in_network(guests.Guest(pid), lambda: made.append(make()))
    return made[0]


def listener_at(pid: int, path: str) -> socket.socket:
    """A stream listener at a path inside a container, made as its root, for everybody."""
    made: list[socket.socket] = []

    def make(_root: int) -> None:
        made.append(listener(path))
        Path(path).chmod(0o666)

    guests.in_mounts(guests.Guest(pid, map_of_process(pid)), make)
    return made[0]


def listener(address: tuple[str, int] | str | bytes, *, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket bound to an address of IP, or to a path or abstract name; it listens when it is for streams."""
    family = socket.AF_UNIX if isinstance(address, str | bytes) else socket.AF_INET
    if not isinstance(address, str | bytes) and ":" in address[0]:
        family = socket.AF_INET6
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(address)
    if kind == socket.SOCK_STREAM:
        made.listen(128)
    return made


def echo(connection: socket.socket) -> None:
    """Say everything back, until the other has ended."""
    with connection:
        while data := connection.recv(1 << 16):
            connection.sendall(data)


@contextmanager
def serving(server: socket.socket, serve: Serve = echo) -> Iterator[socket.socket]:
    """Serve each connection on a thread of its own while this lasts."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def _quietly(serve: Serve, connection: socket.socket) -> None:
    with connection, suppress(OSError):
        serve(connection)


def ask(connection: socket.socket, said: bytes) -> bytes:
    """Send, end, and everything that is answered."""
    with connection:
        connection.settimeout(PATIENCE_S)
        with suppress(BrokenPipeError):  # it has answered and gone without waiting for a word
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))
