"""GET /1.0/events: a websocket, or lines without an end. Source: LXD, guest API; compared with LXD 5.0.2."""

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType, web

from lightervisor.devlxd.connection import FLOOD, guests, instance_of, peer_of
from lightervisor.events.stream import Subscription
from lightervisor.instances.guest_events import TYPES

PING_S = 10.0
UNANSWERED = 2
LONGEST = 4096
MOST_SAID = 20  # messages without a pause of PING_S


async def events(request: web.Request) -> web.StreamResponse:
    """One JSON object for each change of the instance's configuration and devices."""
    wanted = frozenset(name for name in request.query.get("type", "").split(",") if name) or frozenset(TYPES)
    with guests(request).events.subscribe(*instance_of(request), wanted) as subscription:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await _websocket(request, subscription)
        return await _lines(request, subscription)


async def _websocket(request: web.Request, subscription: Subscription) -> web.StreamResponse:
    websocket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=LONGEST)
    await websocket.prepare(request)
    reader = asyncio.create_task(_listen(request, websocket))
    reader.add_done_callback(lambda _: subscription.end())
    try:
        with suppress(ConnectionError):
            async for event in subscription:
                await websocket.send_str(event.decode())
    finally:
        reader.cancel()
        await websocket.close()
    return websocket


async def _listen(request: web.Request, websocket: web.WebSocketResponse) -> None:
    """Until a listener says goodbye or does not answer. It has little to say; one that says much is cut off."""
    said, unanswered = 0, 0
    with suppress(ConnectionError):
        while unanswered <= UNANSWERED:
            try:
                async with asyncio.timeout(PING_S):
                    message = await websocket.receive()
            except TimeoutError:
                said, unanswered = 0, unanswered + 1
                await websocket.ping(b"keepalive")
                continue
            said += 1
            if said > MOST_SAID:
                peer_of(request).guest.allowance.take(FLOOD)
                if request.transport is not None:
                    request.transport.abort()
                return
            match message.type:
                case WSMsgType.PING:
                    await websocket.pong(message.data)
                case WSMsgType.PONG:
                    unanswered = 0
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    continue
                case _:
                    return


async def _lines(request: web.Request, subscription: Subscription) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"})
    response.force_close()
    await response.prepare(request)
    with suppress(ConnectionError):
        async for event in subscription:
            await response.write(event)
    return response


ROUTES = [web.get("/1.0/events", events, allow_head=False)]
