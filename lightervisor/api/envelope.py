"""LXD's response envelope: seven keys, always in this order. Source: LXD REST API, return values."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from lightervisor.api import urls
from lightervisor.model.operation import Operation

JSON = "application/json"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Every JSON answer."""

    type: str
    status: str = ""
    status_code: int = 0
    operation: str = ""
    error_code: int = 0
    error: str = ""
    metadata: Any = None


def sync(metadata: object = None, *, etag: str = "", headers: Mapping[str, str] | None = None) -> web.Response:
    """A finished answer; nothing becomes {}."""
    body = Envelope(type="sync", status="Success", status_code=200, metadata={} if metadata is None else metadata)
    more = dict(headers or {})
    if etag:
        more["ETag"] = f'"{etag}"'
    return _answer(body, 200, more)


def created(location: str) -> web.Response:
    """201 with the URL of what was made; its envelope still says 200 and has no metadata, as LXD's."""
    return _answer(Envelope(type="sync", status="Success", status_code=200), 201, {"Location": location})


def background(operation: Operation) -> web.Response:
    """202 with the operation that does the work."""
    url = urls.of("operations", operation.id)
    body = Envelope(type="async", status="Operation created", status_code=100, operation=url, metadata=operation)
    return _answer(body, 202, {"Location": url})


def failure(code: int, text: str) -> web.Response:
    """An error; ends with two newlines as Go's does. What of a client's bytes in the text is no UTF-8 is replaced."""
    text = text.encode(errors="replace").decode()
    body = msgspec.json.encode(Envelope(type="error", error_code=code, error=text)) + b"\n\n"
    headers = {"X-Content-Type-Options": "nosniff", "Content-Type": JSON}
    return web.Response(body=body, status=code, headers=headers)


def _answer(body: Envelope, status: int, headers: dict[str, str]) -> web.Response:
    headers["Content-Type"] = JSON
    # Go sorts maps by key, and clients show them in the order they come.
    return web.Response(body=msgspec.json.encode(body, order="deterministic") + b"\n", status=status, headers=headers)
