"""/1.0/events. Source: LXD REST API, events."""

import asyncio
from contextlib import suppress

from aiohttp import web

from lightervisor.api import websockets
from lightervisor.api.requests import projects
from lightervisor.api.services import services
from lightervisor.errors import Invalid
from lightervisor.events.stream import TYPES

UNANSWERED = 2  # pings that may stay without an answer before a listener is given up


async def events(request: web.Request) -> web.StreamResponse:
    """GET /1.0/events: a websocket with one JSON text frame for each event."""
    wanted, project = _types(request.query.get("type", "")), projects(request)
    with services(request).events.subscribe(wanted, project) as subscription:
        async with websockets.upgraded(request, patience=UNANSWERED) as websocket:
            # The listener sends nothing, but its answers to pings and its goodbye have to be read.
            reader = asyncio.create_task(websockets.drain(websocket))
            for task in (reader, websocket.pinger):
                if task is not None:
                    task.add_done_callback(lambda _: subscription.end())
            try:
                with suppress(ConnectionError):
                    async for event in subscription:
                        await websocket.send(event.decode())
            finally:
                reader.cancel()
    return websocket.response


def _types(text: str) -> frozenset[str]:
    wanted = [name for name in text.split(",") if name] or list(TYPES)
    for name in wanted:
        if name not in TYPES:
            raise Invalid("event type", name, text=f'"{name}" isn\'t a supported event type')
    return frozenset(wanted)


ROUTES = [web.get("/1.0/events", events)]
