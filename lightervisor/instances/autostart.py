"""Starting instances with the daemon: which, in which order, several at once. Source: LXD, boot.autostart."""

import asyncio
import logging
import os
from itertools import groupby
from typing import NamedTuple

from lightervisor.config.types import is_true
from lightervisor.config.volatile_keys import HANDED_OVER
from lightervisor.db.instances import InstanceRow
from lightervisor.db.warnings import WarningRows
from lightervisor.errors import Failure
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.power import Power

ATTEMPTS, BETWEEN_ATTEMPTS_S = 3, 5.0
WARNING = "Instance autostart failure"
log = logging.getLogger(__name__)


class Due(NamedTuple):
    """An instance to be started, its priority, and the seconds to wait after it."""

    row: InstanceRow
    priority: int
    delay_s: float


class Autostart:
    """Starts instances with the daemon: those of one priority at once, as many as the host has processors."""

    def __init__(self, catalog: Catalog, power: Power, warnings: WarningRows) -> None:
        self._catalog, self._power, self._warnings = catalog, power, warnings
        self._few = asyncio.Semaphore(max(2, len(os.sched_getaffinity(0))))

    def due(self) -> list[Due]:
        """Stopped instances to be started with the daemon, in order: the higher priority, then the name."""
        wanted: list[Due] = []
        for row, config in self._catalog.expanded():
            autostart = config.get("boot.autostart")
            was_running = row.config.get("volatile.last_state.power") == "RUNNING"
            is_wanted = is_true(autostart) if autostart is not None else was_running
            if HANDED_OVER in row.config:  # it may run where it was moved to: only who asks for it starts it here
                continue
            if is_wanted and self._catalog.status(row.project, row.name) == "Stopped":
                priority = int(config.get("boot.autostart.priority") or 0)
                wanted.append(Due(row, priority, float(config.get("boot.autostart.delay") or 0)))
        return sorted(wanted, key=lambda one: (-one.priority, one.row.name))

    async def run(self) -> None:
        """Start what is due; what fails is tried again after the others, then warned of."""
        waiting = self.due()
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(BETWEEN_ATTEMPTS_S)
            failed: list[Due] = []
            for _, several in groupby(waiting, lambda one: one.priority):
                failed += await self._start_together(list(several))
            waiting = failed
            if not waiting:
                return

    async def _start_together(self, several: list[Due]) -> list[Due]:
        """Start instances of one priority; those that failed. Behind one with a delay the others wait."""
        running: list[tuple[Due, asyncio.Task[bool]]] = []
        async with asyncio.TaskGroup() as group:
            for one in several:
                await self._few.acquire()
                task = group.create_task(self._start(one.row))
                task.add_done_callback(lambda _: self._few.release())
                running.append((one, task))
                if one.delay_s and await task:
                    await asyncio.sleep(one.delay_s)
        return [one for one, task in running if not task.result()]

    async def _start(self, row: InstanceRow) -> bool:
        place = f"/1.0/instances/{row.name}"
        try:
            await self._power.start_at_boot(row.project, row.name)
        except (Failure, OSError) as error:
            text = error.message() if isinstance(error, Failure) else str(error)
            log.warning("instance %s could not be started: %s", row.name, text)
            await self._warnings.upsert(WARNING, text, entity_url=place)
            return False
        await self._warnings.resolve(WARNING, entity_url=place)
        return True
