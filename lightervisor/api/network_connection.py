"""One connection from the network, and how long a client may take."""

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

FIRST_REQUEST_S = 30
IDLE_S = 300
_SILENT = logging.getLogger(f"{__name__}.access")
_SILENT.disabled = True


class NetworkConnection(web.RequestHandler):
    """aiohttp's connection, which knows its client and ends when no request comes.

    aiohttp ends a connection that is idle between requests; before the first one it waits for ever.
    """

    __slots__ = ("_ended", "_patience", "client")

    def __init__(self, server: web.Server, client: str, ended: Callable[[], None]) -> None:
        """`client` is its address and port; `ended` is called once, when the connection is lost."""
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, access_log=_SILENT, keepalive_timeout=IDLE_S)
        self.client, self._ended = client, ended
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request, not for ever."""
        super().connection_made(transport)
        self._patience = asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell who counts."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)
        self._ended()

    def begun(self) -> None:
        """A request has arrived whole, but for its body."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()  # type: ignore[attr-defined]
