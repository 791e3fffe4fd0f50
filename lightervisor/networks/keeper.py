"""What serves a network is started again when it dies: without it no instance gets an address."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable

from lightervisor.kernel import pidfd

PAUSE_S = 3.0
"""What dies sooner after its start than this is started again after as long a wait."""
log = logging.getLogger(__name__)


class Keeper:
    """Watches one program for each network; `revive(name)` is awaited when it ends without having been forgotten."""

    def __init__(self, revive: Callable[[str], Awaitable[None]]) -> None:
        self._revive = revive
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch(self, name: str, program: int | None) -> None:
        """Watch a program, given as a pidfd that is closed here, instead of the one before; None watches nothing."""
        self.forget(name)
        if program is not None:
            self._tasks[name] = asyncio.create_task(self._keep(name, program), name=f"keep network {name}")

    def forget(self, name: str) -> None:
        """The network's program is to end, or is another one by now."""
        if (task := self._tasks.pop(name, None)) is not None:
            task.cancel()

    async def _keep(self, name: str, program: int) -> None:
        start = time.monotonic()
        try:
            await pidfd.ended(program)
            if time.monotonic() - start < PAUSE_S:
                await asyncio.sleep(PAUSE_S)
        finally:
            os.close(program)
        log.warning("what serves network %s has ended, it is started again", name)
        del self._tasks[name]
        await self._revive(name)
