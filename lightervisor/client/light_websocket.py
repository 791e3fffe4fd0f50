"""A small websocket client: RFC 6455 frames over the light transport, for exec, console and events.

The socket never blocks after the handshake, so one poll loop serves several of them and a terminal at once; data to
send waits in a buffer. Masks are applied as one big integer. On a unix socket the mask is zero: masking protects
proxies, and there is none.
"""

from __future__ import annotations

import os
import select

from lightervisor.client import light_json
from lightervisor.client.light_errors import ApiError
from lightervisor.client.light_http import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightervisor.client.light_http import Wire

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_BLOCK = 262_144
_SHUT_WR = 1  # socket.SHUT_WR, without the time that the module takes to import


def mask(data: bytes, key: bytes) -> bytes:
    """XOR with the repeated four-byte key."""
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def frame(opcode: int, data: bytes, key: bytes | None) -> bytes:
    """One final frame from a client; `None` is the zero key."""
    size = len(data)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    if key is None:
        return head + b"\0\0\0\0" + data
    return head + key + mask(data, key)


class FrameReader:
    """Takes bytes as they come and gives whole messages; fragments are joined."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._kind = 0
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The messages (opcode, payload) that `data` completes."""
        self._buffer += data
        messages: list[tuple[int, bytes]] = []
        while (cut := self._cut()) is not None:
            is_final, opcode, payload = cut
            if opcode >= CLOSE:
                messages.append((opcode, payload))
                continue
            self._kind = opcode or self._kind
            self._parts.append(payload)
            if is_final:
                messages.append((self._kind, b"".join(self._parts)))
                self._parts = []
        return messages

    def _cut(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10], "big"), 10
        key = b""
        if buffer[1] & 128:
            key, start = bytes(buffer[start : start + 4]), start + 4
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        first = buffer[0]
        del buffer[: start + size]
        return bool(first & 128), first & 15, mask(payload, key) if key else payload


class WebSocket:
    """One open websocket. `is_open` turns false when the server closed it; `backlog` is what still waits to be sent."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._reader = wire, FrameReader()
        self._unsent = bytearray()
        self._inbox: list[tuple[int, bytes]] = []
        self.is_open = True
        self._early, wire.buffer = wire.buffer, b""
        wire.socket.setblocking(False)

    @property
    def backlog(self) -> int:
        """Bytes not yet taken by the kernel."""
        return len(self._unsent)

    def fileno(self) -> int:
        """For `select.poll`."""
        return self._wire.socket.fileno()

    def interest(self) -> int:
        """The poll events this socket waits for."""
        return select.POLLIN | (select.POLLOUT if self._unsent else 0)

    def send(self, data: bytes, opcode: int = BINARY) -> None:
        """Queue one message and send what the kernel takes now."""
        key = None if self._wire.is_local else os.urandom(4)
        self._unsent += frame(opcode, data, key)
        self.flush()

    def send_text(self, text: str) -> None:
        """Queue a text message; the empty one is LXD's barrier, its end of a stream."""
        self.send(text.encode(), TEXT)

    def flush(self) -> None:
        """Send what the kernel takes now."""
        while self._unsent and self.is_open:
            try:
                with memoryview(self._unsent)[:_BLOCK] as view:
                    sent = self._wire.socket.send(view)
            except OSError as error:
                if not is_would_block(error):
                    self.is_open = False
                return
            del self._unsent[:sent]

    def available(self) -> list[tuple[int, bytes]]:
        """The text and binary messages that have arrived; pings are answered here."""
        messages = self._reader.feed(self._early) if self._early else []
        self._early = b""
        while self.is_open:
            try:
                data = self._wire.socket.recv(_BLOCK)
            except OSError as error:
                if not is_would_block(error):
                    self.is_open = False
                break
            if not data:
                self.is_open = False
            messages += self._reader.feed(data)
            if len(data) < _BLOCK and self._wire.is_local:
                break
        return [message for message in messages if self._is_data(*message)]

    def receive(self, timeout_s: float | None = None) -> tuple[int, bytes] | None:
        """The next message, waited for; None when the socket was closed or the time is over."""
        poll = select.poll()
        while not self._inbox:
            self._inbox += self.available()
            if self._inbox:
                break
            if not self.is_open:
                return None
            poll.register(self.fileno(), self.interest())
            if not poll.poll(None if timeout_s is None else timeout_s * 1000):
                return None
            self.flush()
        return self._inbox.pop(0)

    def finish(self) -> None:
        """Say goodbye and send nothing more; what was not sent is lost.

        The server may still write: LXD calls a command failed whose stream it could not close in order.
        """
        if self.is_open:
            self.send(b"\x03\xe8", CLOSE)
            self.is_open = False
            try:  # noqa: SIM105 (contextlib takes time to import)
                self._wire.socket.shutdown(_SHUT_WR)
            except OSError:
                pass  # the server was faster

    def close(self) -> None:
        """Say goodbye and close; what was not sent is lost."""
        self.finish()
        self._wire.close()

    def _is_data(self, opcode: int, payload: bytes) -> bool:
        if opcode == PING:
            self.send(payload, PONG)
        elif opcode == CLOSE:
            self.is_open = False
        return opcode in (TEXT, BINARY)


def open_websocket(wire: Wire, path: str) -> WebSocket:
    """The upgrade handshake; raises ApiError with the server's text when it is refused."""
    import binascii

    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": binascii.b2a_base64(os.urandom(16), newline=False).decode(),
    }
    response = wire.exchange("GET", path, headers, None)
    if response.status != 101:
        text = _refusal(response)
        wire.close()
        raise ApiError(text, response.status)
    return WebSocket(wire)


def _refusal(response: Response) -> str:
    try:
        return str(light_json.loads(response.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"The server refused the websocket ({response.status})"


def is_would_block(error: OSError) -> bool:
    """Whether a socket that does not block, plain or TLS, has only to be asked again later."""
    # ssl's "want read" and "want write" are OSErrors of their own; ssl may not be imported for their names.
    return isinstance(error, BlockingIOError) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")
