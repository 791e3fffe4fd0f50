"""Images that something is being made of: what is unpacked of them is not taken away meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager


class Holds:
    """Who holds which image, by its fingerprint."""

    def __init__(self) -> None:
        self._holders = Counter[str]()
        self._released = dict[str, asyncio.Event]()

    @contextmanager
    def hold(self, fingerprint: str) -> Generator[None, None, None]:
        """Hold an image while the context lasts."""
        self._holders[fingerprint] += 1
        try:
            yield
        finally:
            self._holders[fingerprint] -= 1
            if not self._holders[fingerprint]:
                del self._holders[fingerprint]
                if (event := self._released.pop(fingerprint, None)) is not None:
                    event.set()

    def has(self, fingerprint: str) -> bool:
        """Whether somebody holds an image."""
        return fingerprint in self._holders

    async def released(self, fingerprint: str) -> None:
        """Wait until nobody holds an image."""
        while self.has(fingerprint):
            await self._released.setdefault(fingerprint, asyncio.Event()).wait()
