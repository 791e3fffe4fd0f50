"""Answers of the guest API: plain JSON, plain text, no envelope. Source: LXD, guest API; compared with LXD 5.0.2."""

import msgspec
from aiohttp import web

from lightervisor.errors import Failure


def json(body: object) -> web.Response:
    """What is structured."""
    return web.Response(body=msgspec.json.encode(body, order="deterministic") + b"\n", content_type="application/json")


def text(body: str) -> web.Response:
    """A value as it is."""
    return web.Response(body=body.encode(), content_type="application/octet-stream")


def refusal(status: int, sentence: str) -> web.Response:
    """An error: one line."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, body=f"{sentence}\n".encode(errors="replace"), headers=headers)


def failure(error: Failure) -> web.Response:
    """The refusal for a failure; the remedy is for those who look after the host."""
    return refusal(error.status, error.sentence())
