"""Connections that stop being HTTP: the answer 101, and then bytes between the client and a socket of ours.

Source: RFC 9110, Upgrade; LXD REST API, sftp.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from lightervisor.errors import Invalid

GOODBYE_S = 10
HIGH = 1 << 20
"""So much may wait for one side before the other is not read any more."""


def require(request: web.Request, protocol: str) -> None:
    """Raise Invalid unless the request asks for this protocol."""
    if request.headers.get("Upgrade", "").lower() != protocol:
        raise Invalid("request", text="Missing or invalid upgrade header")


async def bridge(request: web.Request, protocol: str, other: socket.socket) -> web.StreamResponse:
    """Upgrade a request, and carry bytes until one side closes or fails. What the handler has to return."""
    client: Any = request.transport  # uvloop's does not derive from asyncio.Transport
    if client is None:
        raise ConnectionResetError
    http = client.get_protocol()
    near = _Side(http)
    loop = asyncio.get_running_loop()
    ours, far = await loop.create_connection(lambda: _Side(None), sock=other.dup())
    near.peer, far.peer = ours, client
    client.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\n\r\n".encode())
    client.set_protocol(near)
    for transport in (client, ours):
        transport.set_write_buffer_limits(high=HIGH)
    with suppress(RuntimeError):
        client.resume_reading()  # aiohttp may have stopped it
    try:
        await asyncio.wait([near.ended, far.ended], return_when=asyncio.FIRST_COMPLETED)
        # What is on its way to the other one still arrives.
        if near.ended.done():
            with suppress(OSError, RuntimeError):
                ours.write_eof()
        else:
            client.close()
        await asyncio.wait([near.ended, far.ended], timeout=GOODBYE_S)
    finally:
        ours.abort()
        if not near.ended.done():
            client.abort()
    return Upgraded()


class _Side(asyncio.Protocol):
    """One of the two connections: what it receives goes to the peer."""

    def __init__(self, http: asyncio.Protocol | None) -> None:
        """`http` is what the connection was served by before, and is told of its end."""
        self._http = http
        self.peer: Any = None
        self.transport: Any = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self.peer.write(data)

    def pause_writing(self) -> None:
        """Too much waits to be written here: the peer is not read for now."""
        with suppress(RuntimeError):
            self.peer.pause_reading()

    def resume_writing(self) -> None:
        """It has been taken."""
        with suppress(RuntimeError):
            self.peer.resume_reading()

    def eof_received(self) -> bool:
        """One direction has ended, and with it both."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """The end."""
        if not self.ended.done():
            self.ended.set_result(None)
        if self._http is not None:
            self._http.connection_lost(exc if isinstance(exc, Exception) else None)


class Upgraded(web.StreamResponse):
    """What a handler gives back that has used its connection up: nothing is sent, and it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing to send."""
        _ = request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing to end."""
        _ = data
