"""/1.0/operations. Source: LXD REST API, operations."""

import re

from aiohttp import web

from lightervisor.api import callers, envelope, urls, websockets
from lightervisor.api.requests import project, recursion, requestor
from lightervisor.api.services import services
from lightervisor.auth.caller import refused
from lightervisor.errors import Invalid, NotFound

LONGEST_FRAME = 64 << 20
"""Most bytes of one message: whoever has a secret may send any number of them, but not hold one in memory for ever.

Not less: pylxd sends the whole standard input of a command as one.
"""


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/operations: by status; the server's own, such as join tokens, are for administrators."""
    depth, caller = recursion(request), callers.of(request)
    found: dict[str, list[object]] = {}
    for operation in services(request).operations.list(project(request), with_server=caller.is_admin):
        shown = operation if depth else urls.of("operations", operation.id)
        found.setdefault(operation.status.lower(), []).append(shown)
    return envelope.sync(found)


def _visible(request: web.Request) -> str:
    """The id of an operation that the caller may see. Raises NotFound."""
    identity = request.match_info["id"]
    if not callers.of(request).may_enter(services(request).operations.project_of(identity)):
        raise NotFound("operation", identity)
    return identity


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/operations/{id}."""
    return envelope.sync(services(request).operations.get(_visible(request)))


async def cancel(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/operations/{id}."""
    found, identity = services(request), _visible(request)
    project_name = found.operations.project_of(identity)
    found.operations.cancel(identity)
    url = urls.of("operations", identity)
    found.events.lifecycle("operation-cancelled", url, project=project_name, requestor=requestor(request))
    return envelope.sync()


async def wait(request: web.Request) -> web.StreamResponse:
    """GET /1.0/operations/{id}/wait?timeout=SECONDS: answers at the end or after the timeout; -1 waits for ever.

    Who brings the operation's secret may wait for it, trusted or not.
    """
    operations, identity = services(request).operations, request.match_info["id"]
    if not operations.has_secret(identity, request.query.get("secret", "")):
        if not callers.of(request).is_trusted:
            raise refused()
        _visible(request)
    text = request.query.get("timeout") or "-1"
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise Invalid("timeout", text, cause="it is not a whole number of seconds")
    timeout_s = int(text) if int(text) >= 0 else None
    return envelope.sync(await operations.wait(identity, timeout_s))


async def websocket(request: web.Request) -> web.StreamResponse:
    """GET /1.0/operations/{id}/websocket?secret=S."""
    operations, identity = services(request).operations, request.match_info["id"]
    if not request.query.get("secret"):
        raise Invalid("secret", text="missing secret")
    operations.get(identity)
    websockets.require(request)  # before the secret is used up
    name = operations.claim(identity, request.query.get("secret", ""))
    longest = operations.longest_control(identity) if name == "control" else LONGEST_FRAME
    async with websockets.upgraded(request, longest=longest) as channel:
        await operations.connect(identity, name, channel)
    return channel.response


ROUTES = [
    web.get("/1.0/operations", everything),
    web.get("/1.0/operations/{id}", show),
    web.delete("/1.0/operations/{id}", cancel),
    web.get("/1.0/operations/{id}/wait", wait),
    web.get("/1.0/operations/{id}/websocket", websocket),
]
