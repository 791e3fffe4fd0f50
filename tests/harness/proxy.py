"""An HTTP proxy on loopback that leads every name to one server of ours: the internet, as far as tests know it."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer

BLOCK = 1 << 16


class _Tunnel(StreamRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def handle(self) -> None:
        """One CONNECT, and bytes both ways until one side ends."""
        words = self.rfile.readline().split()
        while self.rfile.readline().strip():
            pass
        if len(words) != 3 or words[0] != b"CONNECT":
            self.wfile.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            return
        with self.server.guard:
            self.server.names.append(words[1].decode())
        with socket.create_connection(("127.0.0.1", self.server.port)) as inner:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.connection: inner, inner: self.connection}
            while True:
                for ready in select.select(list(ends), [], [])[0]:
                    try:
                        data = ready.recv(BLOCK)
                        if not data:
                            return
                        ends[ready].sendall(data)
                    except OSError:
                        return


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.port, self.guard = port, threading.Lock()
        self.names: list[str] = []


class Proxy:
    """A running proxy."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    @property
    def names(self) -> list[str]:
        """HOST:PORT of each connection that was asked for."""
        with self._server.guard:
            return list(self._server.names)


@contextmanager
def leading_to(port: int) -> Iterator[Proxy]:
    """A proxy for as long as the context lasts, behind which everything is at this port of loopback."""
    server = _Server(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Proxy(server)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
