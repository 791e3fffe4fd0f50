"""Waiting for readers who are about to end.

Who copies an object to another server hears of the end from that server, a moment before this one has let go of the
files: what comes next, a delete or a start, must not be refused for that moment.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

PATIENCE_S = 3.0


class Departures:
    """Whoever reads without a lock tells here that it has ended."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def happened(self) -> None:
        """Somebody has ended; on the event loop."""
        for event in self._waiting:
            event.set()
        self._waiting.clear()

    async def until(self, is_over: Callable[[], bool]) -> None:
        """Wait until nobody reads any more, or for so long that it is no end: the caller looks for itself."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not is_over():
                    event = asyncio.Event()
                    self._waiting.add(event)
                    await event.wait()
