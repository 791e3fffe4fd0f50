"""Backups end: those of instances and of custom volumes whose time has come are deleted, once in an hour."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from lightervisor.errors import Failure, NotFound
from lightervisor.model.operation import Operation
from lightervisor.model.times import now
from lightervisor.operations.operations import Operations

log = logging.getLogger(__name__)
HOUR_S = 3600


class Ended(NamedTuple):
    """A backup that has had its time: what it is called in the log, and what starts its deletion."""

    what: str
    delete: Callable[[], Operation]


class BackupExpiry:
    """Deletes what `sources` say has ended at a moment."""

    def __init__(self, operations: Operations, sources: Iterable[Callable[[datetime], list[Ended]]]) -> None:
        self._operations, self._sources = operations, tuple(sources)

    async def run(self) -> None:
        """For ever: look once in an hour."""
        while True:
            await self.look(now())
            await asyncio.sleep(HOUR_S)

    async def look(self, moment: datetime) -> None:
        """Delete the backups that have had their time; what cannot be deleted is logged and tried again."""
        for one in [one for source in self._sources for one in source(moment)]:
            complaint = await self._deleted(one)
            if complaint:
                log.warning("%s has ended and is still there: %s", one.what, complaint)

    async def _deleted(self, one: Ended) -> str:
        """Why it is still there, "" when it is not."""
        try:
            done = await self._operations.wait(one.delete().id, None)
        except NotFound:
            return ""
        except Failure as failure:
            return failure.message()
        return done.err
