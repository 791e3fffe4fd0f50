"""One connection from the network, and how long a client may take."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

FIRST_REQUEST_S = 30
IDLE_S = 300
SILENT = logging.getLogger(f"{__name__}.access")
SILENT.disabled = True


class NetworkConnection(web.RequestHandler):
    """aiohttp's connection, which knows its client and ends when no request comes.

    aiohttp ends a connection that is idle between requests; before the first one it waits for ever.
    """

    __slots__ = ("_at_end", "_patience", "client", "paths")

    def __init__(self, server: web.Server, client: str, paths: frozenset[str] | None = None) -> None:
        """`client` is its address and port; `paths` are all that it may ask for, None for everything."""
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, access_log=SILENT, keepalive_timeout=IDLE_S)
        self.client, self.paths = client, paths
        self._at_end: Callable[[], None] | None = None
        self._patience: asyncio.TimerHandle | None = None

    def when_ended(self, call: Callable[[], None]) -> None:
        """Call this once when the connection is lost; at once when it is lost already."""
        if self.transport is None:
            call()
        else:
            self._at_end = call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request, not for ever."""
        super().connection_made(transport)
        self._patience = asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell who counts."""
        self.begun()
        super().connection_lost(exc)
        if self._at_end is not None:
            self._at_end()
            self._at_end = None

    def begun(self) -> None:
        """A request has arrived, but for its body."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        transport: Any = self.transport  # uvloop's does not derive from asyncio.Transport
        if transport is not None:
            transport.abort()
