"""Snapshots that are taken and deleted by themselves. Source: LXD, `snapshots.schedule` and `snapshots.expiry`.

`snapshots.retention`, our own, thins out what was taken so and is nobody's own since.

Each minute that an instance's schedule names, one is taken of it, unless the one before is not done yet; a minute in
which no daemon ran is not made up for. What fails is told in the log and tried again at its next time.
"""

import asyncio
import logging
from datetime import datetime

from lightervisor.config import retention, schedule
from lightervisor.config.types import is_true
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.snapshot_take import SnapshotTaking
from lightervisor.instances.snapshots import Snapshots
from lightervisor.instances.volumes import SnapshotPlace
from lightervisor.kernel.threads import finished
from lightervisor.model.instance import InstanceSnapshotsPost
from lightervisor.model.operation import Operation
from lightervisor.operations.minutes import each_minute
from lightervisor.operations.operations import FAILURE, Operations

KEY, STOPPED_TOO, RETENTION = "snapshots.schedule", "snapshots.schedule.stopped", "snapshots.retention"
AT_ONCE = 4
log = logging.getLogger(__name__)


class SnapshotSchedule:
    """Takes and deletes snapshots when it is time."""

    def __init__(
        self,
        rows: SnapshotRows,
        catalog: Catalog,
        taking: SnapshotTaking,
        snapshots: Snapshots,
        operations: Operations,
    ) -> None:
        self._rows, self._catalog, self._taking = rows, catalog, taking
        self._snapshots, self._operations = snapshots, operations
        self._few = asyncio.Semaphore(AT_ONCE)
        self._busy: set[tuple[str, ...]] = set()

    async def run(self) -> None:
        """For ever: look once in each minute, at its beginning."""
        await each_minute(self.look)

    async def look(self, moment: datetime) -> None:
        """Do what is due in the minute of this moment: delete first, then take."""
        await self.expire(moment)
        await asyncio.gather(*(self._take(row) for row in self.due(moment)))

    def due(self, moment: datetime) -> list[InstanceRow]:
        """The instances of which a snapshot is to be taken now; schedules are in the host's own time."""
        found: list[InstanceRow] = []
        for row, config in self._catalog.expanded():
            value = config.get(KEY, "")
            owner = row.config.get("volatile.uuid", row.name)
            try:
                is_due = value != "" and schedule.is_due(value, moment.astimezone(), owner)
            except Failure:  # of a profile from before there was a check
                continue
            if is_due and (
                is_true(config.get(STOPPED_TOO)) or self._catalog.status(row.project, row.name) != "Stopped"
            ):
                found.append(row)
        return found

    async def expire(self, moment: datetime) -> None:
        """Delete the snapshots that have had their time, or that no rule of their instance's retention keeps."""
        ended = self._rows.ended(moment)
        have_ended = {(row.project, row.instance, row.name) for row in ended}
        scheduled = [row for row in self._rows.scheduled() if (row.project, row.instance, row.name) not in have_ended]
        ended += self._superfluous(scheduled)
        await asyncio.gather(*(self._delete(SnapshotPlace(row.project, row.instance, row.name)) for row in ended))

    def _superfluous(self, scheduled: list[SnapshotRow]) -> list[SnapshotRow]:
        """What retentions do not keep; hours and days are those of the host."""
        of_each: dict[tuple[str, str], list[SnapshotRow]] = {}
        for row in scheduled:
            of_each.setdefault((row.project, row.instance), []).append(row)
        found: list[SnapshotRow] = []
        if not of_each:
            return found
        for owner, config in self._catalog.expanded():
            value, rows = config.get(RETENTION, ""), of_each.get((owner.project, owner.name), [])
            try:
                gone = retention.superfluous(value, [row.created_at.astimezone() for row in rows]) if value else []
            except Failure:  # of a profile from before there was a check
                continue
            found += [rows[place] for place in gone]
        return found

    async def _delete(self, place: SnapshotPlace) -> None:
        if place in self._busy:
            return
        self._busy.add(place)
        try:
            async with self._few:
                await self._ended(self._snapshots.delete(*place), f"{place.instance}/{place.name} could not be deleted")
        except Failure as failure:
            log.warning("snapshot %s/%s has ended and is still there: %s", place.instance, place.name, failure)
        finally:
            self._busy.discard(place)

    async def _take(self, row: InstanceRow) -> None:
        key = (row.project, row.name)
        if key in self._busy:  # the last one is not done yet
            return
        self._busy.add(key)
        try:
            async with self._few:
                operation = await self._taking.create(row.project, row.name, InstanceSnapshotsPost(), scheduled=True)
                await self._ended(operation, f"of {row.name}, which is due, could not be taken")
        except Failure as failure:
            log.warning("no snapshot was taken of instance %s: %s", row.name, failure)
        finally:
            self._busy.discard(key)

    async def at_start(self, row: InstanceRow) -> None:
        """An instance is about to start, and its lock is held: take a snapshot if its schedule says @startup.

        That it cannot be taken is told in the log and keeps nothing from starting.
        """
        try:
            if schedule.is_at_start(self._catalog.expand(row).config.get(KEY, "")):
                post = InstanceSnapshotsPost()
                operation = await self._taking.create(row.project, row.name, post, is_lock_held=True, scheduled=True)
                # Should the start be cancelled: the lock is not let go while the snapshot is being taken.
                await finished(self._ended(operation, f"of {row.name} could not be taken at its start"))
        except Failure as failure:
            log.warning("no snapshot was taken of instance %s at its start: %s", row.name, failure)

    async def _ended(self, operation: Operation, complaint: str) -> None:
        done = await self._operations.wait(operation.id, None)
        if done.status_code >= FAILURE:
            log.warning("snapshot %s: %s", complaint, done.err)
