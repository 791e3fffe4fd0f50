"""/1.0/events. Source: LXD REST API, events."""

import asyncio
from contextlib import suppress

from aiohttp import web

from lightervisor.api import callers, websockets
from lightervisor.api.requests import projects
from lightervisor.api.services import services
from lightervisor.auth.caller import Caller, refused
from lightervisor.errors import Forbidden, Invalid
from lightervisor.events.stream import TYPES

UNANSWERED = 2  # pings that may stay without an answer before a listener is given up
LONGEST = 64 << 10  # bytes in a message of a listener, who has nothing to say


async def events(request: web.Request) -> web.StreamResponse:
    """GET /1.0/events: a websocket with one JSON text frame for each event."""
    caller, project = callers.of(request), projects(request)
    wanted = _types(request.query.get("type", ""), caller)
    if project is not None and not caller.may_enter(project):
        raise refused()
    with services(request).events.subscribe(wanted, project, sees_server=caller.is_admin) as subscription:
        async with websockets.upgraded(request, patience=UNANSWERED, longest=LONGEST) as websocket:
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


def _types(text: str, caller: Caller) -> frozenset[str]:
    """The types asked for, without any all that the caller may see. Raises Invalid, Forbidden for the log."""
    wanted = [name for name in text.split(",") if name] or [n for n in TYPES if caller.is_admin or n != "logging"]
    for name in wanted:
        if name not in TYPES:
            raise Invalid("event type", name, text=f'"{name}" isn\'t a supported event type')
    if "logging" in wanted and not caller.is_admin:
        raise Forbidden("event type", "logging", text="Forbidden")
    return frozenset(wanted)


ROUTES = [web.get("/1.0/events", events)]
