"""What handlers read from a request: its project, its depth, its body, who asks."""

import asyncio
import re
from typing import TypeVar

from aiohttp import web

from lightervisor.api import callers
from lightervisor.auth.caller import refused
from lightervisor.errors import Failure, Invalid, NotFound
from lightervisor.model.decode import decode
from lightervisor.model.event import EventLifecycleRequestor

Wire = TypeVar("Wire")
LARGEST_JSON = 16 << 20
LARGEST_OF_GUESTS = 64 << 10  # anybody may send these, and memory is shared
PATIENCE_WITH_GUESTS_S = 30


class TooLarge(Failure):
    """The body is longer than any that makes sense here."""

    status, slug, verdict = 413, "too-large", "is too large"


class TooSlow(Failure):
    """The body has not come in time."""

    status, slug, verdict = 408, "too-slow", "did not come in time"


def project(request: web.Request, *, kind: str = "project") -> str:
    """The project asked for. Raises NotFound, about `kind`, for any but `default`, the only one so far."""
    name = request.query.get("project") or "default"
    if name != "default":
        raise NotFound(kind, name)
    return name


def projects(request: web.Request) -> str | None:
    """The project asked for, or None for all of them, of which restricted callers get theirs.

    Raises Invalid with LXD's text for both, Forbidden for a caller without projects.
    """
    if not asks_for_all(request):
        return project(request)
    if request.query.get("project"):
        raise Invalid("project", text="Cannot specify a project when requesting all projects")
    caller = callers.of(request)
    if caller.is_admin:
        return None
    if not caller.may_enter("default"):  # all that a restricted caller can have so far
        raise refused()
    return "default"


def asks_for_all(request: web.Request) -> bool:
    """Whether the request is about all projects."""
    return request.query.get("all-projects") in ("true", "1")


def header(request: web.Request, name: str) -> str:
    """A header's text, empty when it is not sent."""
    return shown(request.headers.get(name, ""))


def shown(text: str) -> str:
    """A text of the client's; bytes in it that are no UTF-8 are replaced, as no answer could hold them."""
    return text.encode(errors="replace").decode()


def refuse_member(request: web.Request) -> None:
    """Raise NotFound when a cluster member is asked for, which a single server is not: that is called `none`.

    To be called where LXD forwards.
    """
    if (name := request.query.get("target", "none")) not in ("", "none"):
        raise NotFound("cluster member", name)


def recursion(request: web.Request) -> int:
    """The depth asked for; what is not a number is 0."""
    text = request.query.get("recursion", "")
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0


async def raw_body(request: web.Request, *, limit_bytes: int = LARGEST_JSON) -> bytes:
    """The whole body, from one who may still send it.

    Raises TooLarge as soon as it is known to be longer than the limit, or 64 KiB of a guest's, TooSlow for a guest's
    that takes longer than 30 s, Forbidden when the caller lost its trust meanwhile.
    """
    patience_s = None
    if not callers.of(request).is_trusted:
        limit_bytes, patience_s = min(limit_bytes, LARGEST_OF_GUESTS), PATIENCE_WITH_GUESTS_S
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    received = bytearray()
    try:
        async with asyncio.timeout(patience_s):
            async for block in request.content.iter_any():
                received += block
                if len(received) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError as error:
        raise TooSlow("request body") from error
    callers.confirm(request)
    return bytes(received)


def _too_large(limit_bytes: int) -> TooLarge:
    limit = f"{limit_bytes >> 20} MiB" if limit_bytes >= 1 << 20 else f"{limit_bytes >> 10} KiB"
    return TooLarge("request body", cause=f"it is larger than {limit}")


async def body(request: web.Request, wanted: type[Wire]) -> Wire:
    """The JSON body as a struct. Raises Invalid for bad JSON or wrong types, TooLarge above 16 MiB."""
    return decode(await raw_body(request), wanted)


def requestor(request: web.Request) -> EventLifecycleRequestor:
    """Who asks, as events tell it."""
    return callers.of(request).requestor
