"""Failures to LXD's codes and texts: the one place. Source: LXD REST API, error to HTTP code mapping."""

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from lightervisor.api import envelope
from lightervisor.errors import Failure, refused_by_host

log = logging.getLogger(__name__)


def answer(error: Exception) -> web.Response:
    """The answer for a failure; what is not ours is logged in full and told without a traceback."""
    if isinstance(error, Failure):
        return envelope.failure(error.status, error.message())
    if isinstance(error, web.HTTPException):
        return _answer_of_the_framework(error)
    if isinstance(error, HttpProcessingError | RequestPayloadError):  # compressed or framed as it should not be
        return envelope.failure(400, f"Request body: {' '.join(str(error).split())[:300]}")
    if isinstance(error, ConnectionResetError):
        return envelope.failure(500, "the client has gone")  # nobody reads this
    log.error("request failed", exc_info=error)
    internal = f"Internal error: {type(error).__name__}: {error} (the daemon's log has more)"
    return envelope.failure(500, refused_by_host(error).message() if isinstance(error, OSError) else internal)


def _answer_of_the_framework(error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPNotFound):
        return envelope.failure(404, "not found")
    if isinstance(error, web.HTTPMethodNotAllowed):
        return envelope.failure(501, "not implemented")
    return envelope.failure(error.status, error.reason)
