"""Failures to LXD's codes and texts: the one place."""

import logging

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.errors import Failure

log = logging.getLogger(__name__)


def answer(error: Exception) -> web.Response:
    """The answer for a failure; what is not ours is logged and told without details."""
    if isinstance(error, Failure):
        return envelope.failure(error.status, error.message())
    log.error("request failed", exc_info=error)
    return envelope.failure(500, f"Internal error: {type(error).__name__}: {error} (the daemon's log has more)")
