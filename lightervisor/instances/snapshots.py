"""Snapshots of instances: what was, kept. Source: LXD, /1.0/instances/<name>/snapshots.

A snapshot is a row (what the instance was configured as) and a snapshot of its volume (its files). It is there when
both are: the volume's comes first and goes first.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

import msgspec

from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows, renamed_to_taken
from lightervisor.db.profiles import ProfileRow
from lightervisor.errors import NotFound
from lightervisor.instances import snapshot_names
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.snapshot_acts import SnapshotActs, arguments_of, place_of
from lightervisor.instances.views import snapshot_view
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstanceSnapshot
from lightervisor.model.operation import Operation
from lightervisor.model.times import in_utc
from lightervisor.operations.operations import Run

FINISH_DELETE = "finish deleting snapshot"
RENAME_BACK = "give snapshot its old name back"
SIZE_UNKNOWN = -1


class Snapshots:
    """The snapshots of all instances."""

    def __init__(self, snapshots: SnapshotRows, catalog: Catalog, volumes: InstanceVolumes, acts: SnapshotActs) -> None:
        self._snapshots, self._catalog, self._volumes, self._acts = snapshots, catalog, volumes, acts

    # Reading

    def names(self, project: str, instance: str) -> list[str]:
        """The names of an instance's snapshots, the oldest first. Raises NotFound."""
        self._catalog.row(project, instance)
        return [row.name for row in self._snapshots.of(project, instance)]

    def all_of(self, project: str, instance: str) -> list[InstanceSnapshot]:
        """The snapshots of an instance, the oldest first. Raises NotFound."""
        self._catalog.row(project, instance)
        return [_view(row, self._profiles_of(row)) for row in self._snapshots.of(project, instance)]

    def by_instance(self, project: str | None) -> dict[tuple[str, str], list[InstanceSnapshot]]:
        """The snapshots of each instance that has any, of one project, or of all with None."""
        found: dict[tuple[str, str], list[InstanceSnapshot]] = {}
        known: dict[tuple[str, ...], list[ProfileRow]] = {}  # many snapshots have the same few
        for row in self._snapshots.everything(project):
            key = (row.project, *row.profiles)
            if key not in known:
                known[key] = self._catalog.known_profiles(row.project, row.profiles)
            found.setdefault((row.project, row.instance), []).append(_view(row, known[key]))
        return found

    async def get(self, project: str, instance: str, name: str) -> InstanceSnapshot:
        """One snapshot, with its size on disk. Raises NotFound."""
        row = self._get(project, instance, name)
        place = SnapshotPlace(project, instance, name)
        size = await self._volumes.snapshot_size(self._acts.pool(project, instance), place)
        return _view(row, self._profiles_of(row), size)

    def _get(self, project: str, instance: str, name: str) -> SnapshotRow:
        self._catalog.row(project, instance)
        return self._snapshots.get(project, instance, name)

    def _profiles_of(self, row: SnapshotRow) -> list[ProfileRow]:
        return self._catalog.known_profiles(row.project, row.profiles)

    # Changing

    def expire(
        self,
        project: str,
        instance: str,
        name: str,
        expires_at: datetime | None,
        requestor: EventLifecycleRequestor | None = None,
    ) -> Operation:
        """Start changing when a snapshot ends, year 1 for never, None as it is. Raises NotFound, Invalid."""
        self._get(project, instance, name)
        ends = None if expires_at is None else in_utc(expires_at)
        place = SnapshotPlace(project, instance, name)

        async def work(_run: Run) -> None:
            if ends is not None:
                await self._snapshots.set_expiry(*place, ends)
            await self._acts.describe(place)
            self._acts.publish("updated", place, requestor)

        return self._acts.start("Updating snapshot", work, place)

    def rename(
        self,
        project: str,
        instance: str,
        name: str,
        new_name: str,
        requestor: EventLifecycleRequestor | None = None,
    ) -> Operation:
        """Start renaming a snapshot. Raises NotFound, Invalid for a bad name, Conflict for a taken one."""
        self._get(project, instance, name)
        snapshot_names.check(new_name)
        place, new = SnapshotPlace(project, instance, name), SnapshotPlace(project, instance, new_name)
        if self._snapshots.find(*new) is not None:
            raise renamed_to_taken(instance, new_name)

        async def work(run: Run) -> None:
            self._get(*place)
            self._volumes.check_unread(*place)
            pool = self._acts.pool(project, instance)
            arguments = {**arguments_of(place, pool), "new_name": new_name}
            await run.step(lambda: self._move(pool, place, new_name), undo=RENAME_BACK, arguments=arguments)
            await self._acts.describe(place)
            self._acts.publish("renamed", new, requestor, {"old_name": name})

        return self._acts.start("Renaming snapshot", work, place)

    async def _move(self, pool: str, place: SnapshotPlace, new_name: str) -> None:
        await self._volumes.rename_snapshot(pool, place, new_name)
        await self._snapshots.rename(*place, new_name)

    async def rename_back(self, arguments: Mapping[str, str]) -> None:
        """Undo a rename that did not end; may be called twice."""
        place, pool = place_of(arguments), arguments["pool"]
        new = place._replace(name=arguments["new_name"])
        if self._snapshots.find(*place) is None and self._snapshots.find(*new) is not None:
            await self._snapshots.rename(*new, place.name)
        if not self._volumes.has_snapshot(pool, place) and self._volumes.has_snapshot(pool, new):
            await self._volumes.rename_snapshot(pool, new, place.name)

    def delete(
        self, project: str, instance: str, name: str, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start deleting a snapshot. Raises NotFound."""
        self._get(project, instance, name)
        place = SnapshotPlace(project, instance, name)

        async def work(run: Run) -> None:
            await self.remove(run, place)
            self._acts.publish("deleted", place, requestor)

        return self._acts.start("Deleting snapshot", work, place)

    async def remove(self, run: Run, place: SnapshotPlace) -> None:
        """Delete a snapshot inside an operation that holds the instance's lock.

        Once its files are gone it is always finished: a daemon that dies after that goes on at its next start.
        """
        self._get(*place)
        self._volumes.check_unread(*place)
        arguments = arguments_of(place, self._acts.pool(place.project, place.instance))
        await run.step(lambda: self._delete(arguments), undo=FINISH_DELETE, arguments=arguments)
        await self._acts.describe(place)

    async def _delete(self, arguments: Mapping[str, str]) -> None:
        await self._volumes.delete_snapshot(arguments["pool"], place_of(arguments))
        await self.finish(arguments)

    async def finish(self, arguments: Mapping[str, str]) -> None:
        """Remove the row of a snapshot whose files are gone; may be called twice. With them it is still whole."""
        place = place_of(arguments)
        with suppress(NotFound):
            if self._volumes.has_snapshot(arguments["pool"], place):
                return
        await self._snapshots.delete(*place)


def _view(row: SnapshotRow, profiles: list[ProfileRow], size: int | None = None) -> InstanceSnapshot:
    return msgspec.structs.replace(snapshot_view(row, profiles), size=SIZE_UNKNOWN if size is None else size)
