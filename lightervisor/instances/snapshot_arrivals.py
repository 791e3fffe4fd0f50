"""Snapshots that an instance gets from elsewhere: new ones, and others in the place of those of the same name.

A name can be another snapshot's at the source since the last refresh. What was there stays until the other one is whole
beside it, under a name that nobody sees; then it goes and the other takes its place, which is always finished.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.errors import NotFound
from lightervisor.instances import snapshot_take
from lightervisor.instances.checks import InstanceChecks
from lightervisor.instances.snapshot_acts import arguments_of, place_of
from lightervisor.instances.snapshot_names import HIDDEN
from lightervisor.instances.snapshots import Snapshots
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.operations.operations import Run

DROP = "drop snapshot that was to replace another"
FINISH = "finish replacing snapshot"


class SnapshotArrivals:
    """Takes in snapshots of all instances."""

    def __init__(
        self, rows: SnapshotRows, checks: InstanceChecks, volumes: InstanceVolumes, snapshots: Snapshots
    ) -> None:
        self._rows, self._checks, self._volumes, self._snapshots = rows, checks, volumes, snapshots

    def check(self, rows: Iterable[SnapshotRow]) -> None:
        """Raise Invalid for those that no instance can have."""
        self._checks.check_snapshots(rows)

    async def add(
        self, run: Run, pool: str, row: SnapshotRow, make: Callable[[SnapshotPlace], Awaitable[None]]
    ) -> None:
        """Have the files of a snapshot made, where `make` is told, and store it, inside an operation that holds the
        instance's lock.

        Raises Conflict when one of this name is being read or nobody knows it, and what `make` raises.
        """
        place = SnapshotPlace(row.project, row.instance, row.name)
        if self._rows.find(*place) is not None:
            await self._replace(run, pool, row, make)
            return
        self._volumes.check_new_snapshot(pool, place)
        arguments = {**arguments_of(place, pool), "created_at": row.created_at.isoformat(), "held": ""}

        async def bring() -> None:
            await make(place)
            await self._rows.add(row)

        await run.step(bring, undo=snapshot_take.UNDO, arguments=arguments)

    async def _replace(
        self, run: Run, pool: str, row: SnapshotRow, make: Callable[[SnapshotPlace], Awaitable[None]]
    ) -> None:
        place = SnapshotPlace(row.project, row.instance, row.name)
        self._volumes.check_unread(*place)
        beside = place._replace(name=f"{HIDDEN}{secrets.token_hex(4)}")
        await run.step(lambda: make(beside), undo=DROP, arguments=arguments_of(beside, pool))
        told = {**arguments_of(place, pool), "beside": beside.name, "row": msgspec.json.encode(row).decode()}
        await run.step(lambda: self.finish(told), undo=FINISH, arguments=told)

    async def remove(self, run: Run, rows: Iterable[SnapshotRow]) -> None:
        """Delete those that the source no longer has. Raises Conflict for one that is being read."""
        for one in rows:
            await self._snapshots.remove(run, SnapshotPlace(one.project, one.instance, one.name))

    async def drop(self, arguments: Mapping[str, str]) -> None:
        """Undo that files were made beside; may be called twice."""
        with suppress(NotFound):
            await self._volumes.delete_snapshot(arguments["pool"], place_of(arguments))

    async def finish(self, arguments: Mapping[str, str]) -> None:
        """Put what is whole beside into its place; may be called twice.

        What is still beside has not replaced anything yet. Nothing is left when the snapshot was deleted since.
        """
        place, pool = place_of(arguments), arguments["pool"]
        beside = place._replace(name=arguments["beside"])
        is_known = self._rows.find(*place) is not None
        with suppress(NotFound):
            if self._volumes.has_snapshot(pool, beside):
                if not is_known:
                    await self._volumes.delete_snapshot(pool, beside)
                    return
                await self._volumes.delete_snapshot(pool, place)
                await self._volumes.rename_snapshot(pool, beside, place.name)
        if is_known:
            await self._rows.replace(msgspec.json.decode(arguments["row"], type=SnapshotRow))
