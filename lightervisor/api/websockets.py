"""Websockets as the services know them: frames in and out, and pings that keep idle connections open.

Source: LXD REST API, websocket protocols: a ping with the payload `keepalive` every ten seconds.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from aiohttp import WSMsgType, web

from lightervisor.client.websockets import is_loopback
from lightervisor.errors import Invalid

PING_S = 10


class Websocket:
    """One websocket: text frames are str, binary frames are bytes, None is the end."""

    def __init__(self, response: web.WebSocketResponse, remote: str | None = None) -> None:
        self.response = response
        self.is_on_this_host = is_loopback(remote or "")
        self.unanswered = 0
        self.pinger: asyncio.Task[None] | None = None

    async def receive(self) -> bytes | str | None:
        """The next frame; None when the peer has closed."""
        while True:
            message = await self.response.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    data: bytes | str = message.data
                    return data
                case WSMsgType.PING:
                    with suppress(ConnectionError):
                        await self.response.pong(message.data)
                case WSMsgType.PONG:
                    self.unanswered = 0
                case _:
                    return None

    async def send(self, frame: bytes | str) -> None:
        """Send one frame. Raises ConnectionError when the peer is gone."""
        if isinstance(frame, str):
            await self.response.send_str(frame)
        else:
            await self.response.send_bytes(frame)

    async def ping(self) -> None:
        """Ask the peer whether it is there. Raises ConnectionError when it is gone."""
        self.unanswered += 1
        await self.response.ping(b"keepalive")

    async def close(self) -> None:
        """Close; safe to call twice."""
        await self.response.close()


@asynccontextmanager
async def upgraded(
    request: web.Request, *, patience: int | None = None, longest: int = 0
) -> AsyncGenerator[Websocket, None]:
    """Upgrade a request; while the context lasts the peer is pinged, at its end the websocket is closed.

    `longest` is how many bytes a message may have, 0 for any number. With `patience`, so many pings may stay without
    an answer until `Websocket.pinger` ends. Raises Invalid when the request asks for no websocket.
    """
    require(request)
    response = web.WebSocketResponse(max_msg_size=longest, compress=False, autoping=False)
    await response.prepare(request)
    websocket = Websocket(response, request.remote)
    websocket.pinger = asyncio.create_task(_keep_alive(websocket, patience), name="websocket keepalive")
    try:
        yield websocket
    finally:
        websocket.pinger.cancel()
        with suppress(ConnectionError):
            await websocket.close()


def require(request: web.Request) -> None:
    """Raise Invalid unless the request asks for a websocket."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise Invalid("request", text="websocket: the client is not using the websocket protocol")


async def _keep_alive(websocket: Websocket, patience: int | None) -> None:
    with suppress(ConnectionError):
        while patience is None or websocket.unanswered <= patience:
            await asyncio.sleep(PING_S)
            await websocket.ping()


async def drain(websocket: Websocket) -> None:
    """Read and drop what a listener sends, until it closes."""
    while await websocket.receive() is not None:
        continue
