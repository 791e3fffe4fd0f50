"""/1.0/operations and /1.0/events. Source: LXD REST API, operations and events."""

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType, web

from lightervisor.api import envelope
from lightervisor.api.requests import project, recursion
from lightervisor.api.services import services
from lightervisor.errors import Invalid
from lightervisor.events.stream import TYPES

PING_S = 10
CLOSE_S = 0.5


class WebsocketChannel:
    """An aiohttp websocket as operations know it."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> bytes | str | None:
        """The next frame; None at the end."""
        message = await self._socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: bytes | str = message.data
            return data
        return None

    async def send(self, frame: bytes | str) -> None:
        """Send one frame. Raises ConnectionError when the peer is gone."""
        if isinstance(frame, str):
            await self._socket.send_str(frame)
        else:
            await self._socket.send_bytes(frame)

    async def close(self) -> None:
        """Close; safe to call twice."""
        await self._socket.close()


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/operations: by status."""
    found: dict[str, list[object]] = {}
    for operation in services(request).operations.list(project(request)):
        shown = operation if recursion(request) else f"/1.0/operations/{operation.id}"
        found.setdefault(operation.status.lower(), []).append(shown)
    return envelope.sync(found)


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/operations/{id}."""
    return envelope.sync(services(request).operations.get(request.match_info["id"]))


async def cancel(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/operations/{id}."""
    services(request).operations.cancel(request.match_info["id"])
    return envelope.sync()


async def wait(request: web.Request) -> web.StreamResponse:
    """GET /1.0/operations/{id}/wait?timeout=N."""
    text = request.query.get("timeout", "-1")
    try:
        seconds = float(text)
    except ValueError:
        raise Invalid("timeout", text, cause="it is not a number of seconds") from None
    timeout_s = seconds if seconds >= 0 else None
    return envelope.sync(await services(request).operations.wait(request.match_info["id"], timeout_s))


async def websocket(request: web.Request) -> web.StreamResponse:
    """GET /1.0/operations/{id}/websocket?secret=S."""
    operations = services(request).operations
    identity = request.match_info["id"]
    name = operations.claim(identity, request.query.get("secret", ""))
    socket = web.WebSocketResponse(timeout=CLOSE_S, max_msg_size=0, compress=False)
    await socket.prepare(request)
    await operations.connect(identity, name, WebsocketChannel(socket))
    await socket.close()
    return socket


async def events(request: web.Request) -> web.StreamResponse:
    """GET /1.0/events: a websocket of events."""
    wanted = [name for name in request.query.get("type", "").split(",") if name] or list(TYPES)
    for name in wanted:
        if name not in TYPES:
            raise Invalid("event type", name, text=f'"{name}" isn\'t a supported event type')
    every = request.query.get("all-projects") == "true"
    socket = web.WebSocketResponse(heartbeat=PING_S, compress=False)
    with services(request).events.subscribe(frozenset(wanted), None if every else project(request)) as subscription:
        await socket.prepare(request)
        reader = asyncio.create_task(_drain(socket))
        reader.add_done_callback(lambda _: subscription.end())
        with suppress(ConnectionError):
            async for event in subscription:
                await socket.send_str(event.decode())
        reader.cancel()
    await socket.close()
    return socket


async def _drain(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        continue


ROUTES = [
    web.get("/1.0/operations", everything),
    web.get("/1.0/operations/{id}", show),
    web.delete("/1.0/operations/{id}", cancel),
    web.get("/1.0/operations/{id}/wait", wait),
    web.get("/1.0/operations/{id}/websocket", websocket),
    web.get("/1.0/events", events),
]
