"""Snapshots that a volume gets from elsewhere: new ones, and others in the place of those of the same name.

As those of instances (`instances/snapshot_arrivals.py`): what was there stays until the other one is whole beside it,
under a name that nobody sees; then it goes and the other takes its place, which is always finished.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec

from lightervisor.db.volume_snapshots import VolumeSnapshotRow
from lightervisor.errors import NotFound
from lightervisor.kernel.threads import in_thread
from lightervisor.operations.operations import Run
from lightervisor.storage.driver import Snapshot
from lightervisor.storage.volume_acts import VolumeActs, snapshot_of
from lightervisor.storage.volume_rules import HIDDEN
from lightervisor.storage.volume_snapshots import (
    DROP,
    VolumeSnapshots,
    arguments_of,
    noted,
    undo_arguments,
)

DROP_BESIDE = "drop snapshot of volume that was to replace another"
FINISH = "finish replacing snapshot of volume"


class VolumeArrivals:
    """Takes in snapshots of all custom volumes."""

    def __init__(self, acts: VolumeActs, snapshots: VolumeSnapshots) -> None:
        self._acts, self._rows, self._snapshots = acts, acts.snapshots, snapshots

    async def add(self, run: Run, row: VolumeSnapshotRow, make: Callable[[Snapshot], Awaitable[None]]) -> None:
        """Have the files of a snapshot made, where `make` is told, and store it; the volume's lock is held.

        Raises Conflict when nobody knows one of this name that is there, and what `make` raises.
        """
        place, name = row.volume, row.name
        if self._rows.find(place, name) is not None:
            await self._replace(run, row, make)
            return
        self._snapshots.check_nobodys(place, name)

        async def bring() -> None:
            await make(snapshot_of(place, name))
            await self._rows.add(row)

        await run.step(bring, undo=DROP, arguments=undo_arguments(row))

    async def _replace(self, run: Run, row: VolumeSnapshotRow, make: Callable[[Snapshot], Awaitable[None]]) -> None:
        beside = f"{HIDDEN}{secrets.token_hex(4)}"
        place = snapshot_of(row.volume, beside)
        await run.step(lambda: make(place), undo=DROP_BESIDE, arguments=arguments_of(row.volume, beside))
        told = {
            **arguments_of(row.volume, row.name),
            "beside": beside,
            "row": msgspec.json.encode(row).decode(),
        }
        await run.step(lambda: self.finish(told), undo=FINISH, arguments=told)

    async def drop(self, arguments: Mapping[str, str]) -> None:
        """Remove what was to replace a snapshot; may be called twice."""
        place, beside = noted(arguments)
        with suppress(NotFound):
            await in_thread(self._acts.keeper(place).delete_snapshot, snapshot_of(place, beside))

    async def finish(self, arguments: Mapping[str, str]) -> None:
        """Put what is whole in the place of the other one; may be called twice."""
        place, name = noted(arguments)
        driver, beside = self._acts.keeper(place), snapshot_of(place, arguments["beside"])
        if driver.has_snapshot(beside):
            await in_thread(driver.delete_snapshot, snapshot_of(place, name))
            await in_thread(driver.rename_snapshot, beside, name)
        row = msgspec.json.decode(arguments["row"], type=VolumeSnapshotRow)
        if self._rows.find(place, name) != row:
            await self._rows.delete(place, name)
            await self._rows.add(row)
