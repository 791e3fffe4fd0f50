"""HTTP/1.1 on one socket: send a request, read status, headers and a body that is counted, chunked or open-ended."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    class Readable(Protocol):
        """What a body is read from, piece by piece."""

        def read(self, size: int, /) -> bytes: ...  # noqa: D102

    class Socket(Protocol):
        """What the transport needs of a socket, plain or TLS; the methods are those of `socket.socket`."""

        def sendall(self, data: bytes, /) -> None: ...  # noqa: D102
        def send(self, data: bytes | memoryview, /) -> int: ...  # noqa: D102
        def recv(self, size: int, /) -> bytes: ...  # noqa: D102
        def fileno(self) -> int: ...  # noqa: D102
        def setblocking(self, flag: bool, /) -> None: ...  # noqa: D102
        def shutdown(self, how: int, /) -> None: ...  # noqa: D102
        def close(self) -> None: ...  # noqa: D102


USER_AGENT = "LXD 5.0.2 (lightervisor)"
_BLOCK = 262_144


class Wire:
    """A connected socket with its read buffer; `host` is what the Host header says, `label` what errors say."""

    def __init__(self, socket: Socket, host: str, *, is_local: bool) -> None:
        self.socket, self.host, self.is_local = socket, host, is_local
        self.buffer = b""

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | Readable | None) -> Response:
        """Send one request and read the head of its answer; ConnectionError when the server hung up before it."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in {"User-Agent": USER_AGENT, **headers}.items()]
        if body is None or isinstance(body, bytes):
            if body is not None or method != "GET":
                lines.append(f"Content-Length: {len(body or b'')}")
            self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        else:
            self._send_stream(lines, body)
        return Response(self, *self.read_head())

    def _send_stream(self, lines: list[str], body: Readable) -> None:
        self.socket.sendall("\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode("latin-1"))
        while block := body.read(_BLOCK):
            try:
                self.socket.sendall(b"%x\r\n%b\r\n" % (len(block), block))
            except ConnectionError:
                return  # the server wants no more of it, and its answer, which can still be read, says why
        self.socket.sendall(b"0\r\n\r\n")

    def read_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers (names in lower case) of the next answer."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if not self.fill():
                raise ConnectionError("The server closed the connection without an answer")
        head, self.buffer = self.buffer[:end].decode("latin-1"), self.buffer[end + 4 :]
        status, *fields = head.split("\r\n")
        headers: dict[str, str] = {}
        for field in fields:
            name, _, value = field.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(status.split(" ", 2)[1]), headers

    def fill(self) -> bool:
        """Read once from the socket into the buffer; false at its end."""
        data = self.socket.recv(_BLOCK)
        self.buffer = self.buffer + data if self.buffer else data
        return bool(data)

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if len(self.buffer) < size:
            parts, have = [self.buffer], len(self.buffer)
            self.buffer = b""
            while have < size:
                data = self.socket.recv(max(_BLOCK, size - have))
                if not data:
                    raise ConnectionError("The server closed the connection in the middle of its answer")
                parts.append(data)
                have += len(data)
            self.buffer = b"".join(parts)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def take_line(self) -> bytes:
        """One line without its end."""
        while (end := self.buffer.find(b"\r\n")) < 0:
            if not self.fill():
                raise ConnectionError("The server closed the connection in the middle of its answer")
        line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
        return line

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class Response:
    """An answer whose body is read on demand; it must be read to its end before the connection serves the next."""

    def __init__(self, wire: Wire, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers, self._wire = status, headers, wire

    def read(self) -> bytes:
        """The whole (rest of the) body."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """The body in pieces, as they arrive."""
        wire, headers = self._wire, self.headers
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int(wire.take_line().split(b";")[0], 16):
                yield wire.take(size)
                wire.take_line()
            while wire.take_line():
                continue
        elif "content-length" in headers:
            left = int(headers["content-length"])
            while left > 0:
                block = wire.take(min(left, _BLOCK))
                left -= len(block)
                yield block
        elif self.status not in (204, 304):
            yield wire.buffer
            wire.buffer = b""
            while block := wire.socket.recv(_BLOCK):
                yield block


def unix_connector(path: str) -> Callable[[], Wire]:
    """Connects to a daemon's unix socket."""

    def connect() -> Wire:
        import _socket

        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            socket.connect(path)
        except OSError:
            socket.close()
            raise
        return Wire(socket, "unix.socket", is_local=True)

    return connect
