"""Snapshots of custom volumes that are taken and deleted by themselves. Source: LXD, `snapshots.schedule`, `.expiry`.

Each minute that a volume's schedule names, one is taken of it, unless the one before is not done yet; a minute in which
no daemon ran is not made up for. What fails is told in the log and tried again at its next time.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

from lightervisor.config import schedule
from lightervisor.config.names import VolumePlace
from lightervisor.errors import Failure
from lightervisor.model.operation import Operation
from lightervisor.model.storage_volume import StorageVolumeSnapshotsPost
from lightervisor.operations.minutes import each_minute
from lightervisor.operations.operations import FAILURE, Operations
from lightervisor.storage.volume_acts import VolumeActs, place_of
from lightervisor.storage.volume_snapshots import VolumeSnapshots

KEY = "snapshots.schedule"
AT_ONCE = 4
log = logging.getLogger(__name__)


class VolumeSchedule:
    """Takes and deletes snapshots of volumes when it is time."""

    def __init__(self, acts: VolumeActs, snapshots: VolumeSnapshots, operations: Operations) -> None:
        self._acts, self._snapshots, self._operations = acts, snapshots, operations
        self._few = asyncio.Semaphore(AT_ONCE)
        self._busy: set[tuple[str, ...]] = set()

    async def run(self) -> None:
        """For ever: look once in each minute, at its beginning."""
        await each_minute(self.look)

    async def look(self, moment: datetime) -> None:
        """Do what is due in the minute of this moment: delete first, then take."""
        ended = self._acts.snapshots.ended(moment)
        await asyncio.gather(*(self._delete(row.volume, row.name) for row in ended))
        await asyncio.gather(*(self._take(place) for place in self.due(moment)))

    def due(self, moment: datetime) -> list[VolumePlace]:
        """The volumes of which a snapshot is to be taken now; schedules are in the host's own time."""
        found: list[VolumePlace] = []
        for row in self._acts.rows.list():
            value, owner = row.config.get(KEY, ""), f"{row.pool}/{row.project}/{row.name}"
            try:
                if value and schedule.is_due(value, moment.astimezone(), owner):
                    found.append(place_of(row))
            except Failure:  # of a volume from before there was a check
                continue
        return found

    async def _delete(self, place: VolumePlace, name: str) -> None:
        async with self._alone(*place, name) as is_free:
            if not is_free:
                return
            try:
                await self._ended(self._snapshots.delete(place, name), f"{place.name}/{name} could not be deleted")
            except Failure as failure:
                log.warning("snapshot %s/%s has ended and is still there: %s", place.name, name, failure)

    async def _take(self, place: VolumePlace) -> None:
        async with self._alone(*place) as is_free:
            if not is_free:  # the last one is not done yet
                return
            try:
                operation = await self._snapshots.create(place, StorageVolumeSnapshotsPost())
                await self._ended(operation, f"of volume {place.name}, which is due, could not be taken")
            except Failure as failure:
                log.warning("no snapshot was taken of volume %s: %s", place.name, failure)

    @asynccontextmanager
    async def _alone(self, *key: str) -> AsyncGenerator[bool, None]:
        """One thing at a time about each, and few at all."""
        if key in self._busy:
            yield False
            return
        self._busy.add(key)
        try:
            async with self._few:
                yield True
        finally:
            self._busy.discard(key)

    async def _ended(self, operation: Operation, complaint: str) -> None:
        done = await self._operations.wait(operation.id, None)
        if done.status_code >= FAILURE:
            log.warning("snapshot %s: %s", complaint, done.err)
