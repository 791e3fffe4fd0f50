"""GET /1.0/events: a websocket, or lines without an end. Source: LXD, guest API; compared with LXD 5.0.2."""

import asyncio
from contextlib import suppress

from aiohttp import web

from lightervisor.devlxd.connection import guests, instance_of
from lightervisor.events.stream import Subscription
from lightervisor.instances.guest_events import TYPES

PING_S = 10.0
LONGEST = 4096


async def events(request: web.Request) -> web.StreamResponse:
    """One JSON object for each change of the instance's configuration and devices."""
    wanted = frozenset(name for name in request.query.get("type", "").split(",") if name) or frozenset(TYPES)
    with guests(request).events.subscribe(*instance_of(request), wanted) as subscription:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await _websocket(request, subscription)
        return await _lines(request, subscription)


async def _websocket(request: web.Request, subscription: Subscription) -> web.StreamResponse:
    # With a heartbeat a listener that does not answer is given up.
    websocket = web.WebSocketResponse(heartbeat=PING_S, compress=False, max_msg_size=LONGEST)
    await websocket.prepare(request)
    reader = asyncio.create_task(_drain(websocket))
    reader.add_done_callback(lambda _: subscription.end())
    try:
        with suppress(ConnectionError):
            async for event in subscription:
                await websocket.send_str(event.decode())
    finally:
        reader.cancel()
        await websocket.close()
    return websocket


async def _drain(websocket: web.WebSocketResponse) -> None:
    """A listener has nothing to say, but its goodbye has to be read."""
    async for _ in websocket:
        continue


async def _lines(request: web.Request, subscription: Subscription) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"})
    response.force_close()
    await response.prepare(request)
    with suppress(ConnectionError):
        async for event in subscription:
            await response.write(event)
    return response


ROUTES = [web.get("/1.0/events", events, allow_head=False)]
