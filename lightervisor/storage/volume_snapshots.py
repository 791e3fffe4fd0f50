"""Snapshots of custom volumes. Source: LXD, /1.0/storage-pools/<pool>/volumes/custom/<name>/snapshots; texts of 5.0.2.

A snapshot is a row (what the volume was configured as) and a snapshot in the pool (its files). It is there when both
are: the files come first and go first. Running instances that show the volume are held still for the moment it needs.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from datetime import datetime

import msgspec

from lightervisor.config import expiry
from lightervisor.config.names import VolumePlace
from lightervisor.db.volume_snapshots import VolumeSnapshotRow, taken
from lightervisor.errors import Conflict, NotFound
from lightervisor.kernel.threads import in_thread
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.model.storage_volume import (
    StorageVolumeSnapshot,
    StorageVolumeSnapshotPut,
    StorageVolumeSnapshotsPost,
)
from lightervisor.model.times import ZERO_TIME, in_utc, now
from lightervisor.operations.locks import volume_lock
from lightervisor.operations.operations import Run, Work
from lightervisor.storage.driver import Still
from lightervisor.storage.volume_acts import VolumeActs, snapshot_of, snapshot_view, volume_of
from lightervisor.storage.volume_rules import check_snapshot_name
from lightervisor.templates.patterns import next_name
from lightervisor.templates.renderer import Renderer

DROP = "drop snapshot of volume that was being taken"
FINISH_DELETE = "finish deleting snapshot of volume"
RENAME_BACK = "give snapshot of volume its old name back"


class VolumeSnapshots:
    """The snapshots of all custom volumes."""

    def __init__(self, acts: VolumeActs, renderer: Renderer) -> None:
        self._acts, self._renderer, self._rows = acts, renderer, acts.snapshots
        self._being_taken: set[tuple[VolumePlace, str]] = set()

    # Reading

    def all_of(self, place: VolumePlace) -> list[StorageVolumeSnapshot]:
        """The snapshots of a volume, the oldest first. Raises NotFound."""
        self._acts.row(place)
        return [snapshot_view(row) for row in self._rows.of(place)]

    def get(self, place: VolumePlace, name: str) -> StorageVolumeSnapshot:
        """One snapshot. Raises NotFound."""
        return snapshot_view(self._get(place, name))

    def _get(self, place: VolumePlace, name: str) -> VolumeSnapshotRow:
        self._acts.row(place)
        return self._rows.get(place, name)

    # Taking

    async def create(
        self, place: VolumePlace, post: StorageVolumeSnapshotsPost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start taking a snapshot. Raises NotFound, Invalid for a bad name or pattern, Conflict for a taken name."""
        row, moment = self._acts.row(place), now()
        if post.expires_at is not None:
            ends = in_utc(post.expires_at)
        else:
            ends = expiry.after(moment, row.config.get("snapshots.expiry", "")) or ZERO_TIME
        known = {one.name for one in self._rows.of(place)}
        known |= {one for owner, one in self._being_taken if owner == place}
        name = post.name or await next_name(self._renderer, row.config, moment, known, owner=row.name)
        check_snapshot_name(name)
        if name in known:
            raise taken(name)
        self._being_taken.add((place, name))

        async def work(run: Run) -> None:
            try:
                await self._take(run, place, name, ends)
            finally:
                self._being_taken.discard((place, name))
            self._acts.publish_snapshot("created", place, name, requestor)

        try:
            return self._start("Creating storage volume snapshot", "storage_volumes", work, place)
        except BaseException:
            self._being_taken.discard((place, name))
            raise

    def _start(self, description: str, kind: str, work: Work, place: VolumePlace) -> Operation:
        resources = {kind: [f"/1.0/{kind}/{place.name}"]}  # as LXD has it, where no such thing is
        return self._acts.start(description, work, [place], resources=resources)

    async def _take(self, run: Run, place: VolumePlace, name: str, ends: datetime) -> None:
        volume = self._acts.row(place)
        self.check_nobodys(place, name)
        if self._rows.find(place, name) is not None:
            raise taken(name)
        row = VolumeSnapshotRow(
            volume=place,
            name=name,
            created_at=now(),
            description=volume.description,
            config=volume.config,
            expires_at=ends,
        )
        async with AsyncExitStack() as alone:
            await alone.enter_async_context(self._acts.left_alone(place))
            still = await self._acts.still(run, place)
            if still is not None:  # whoever writes is held still for the moment, and may stop meanwhile
                await alone.aclose()
            await run.step(lambda: self._make(row, still), undo=DROP, arguments=undo_arguments(row))
        await self._acts.describe_done(place)

    async def _make(self, row: VolumeSnapshotRow, still: Still | None) -> None:
        snapshot = snapshot_of(row.volume, row.name)
        await in_thread(self._acts.keeper(row.volume).create_snapshot, snapshot, still)
        await self._rows.add(row)

    def check_nobodys(self, place: VolumePlace, name: str) -> None:
        """Raise Conflict for files of a snapshot of this name, which nobody knows: an undo would remove them."""
        driver, snapshot = self._acts.keeper(place), snapshot_of(place, name)
        if driver.has_snapshot(snapshot) and self._rows.find(place, name) is None:
            cause = f"storage pool {place.pool!r} holds a snapshot of this name that {place.name} does not have"
            remedy = f"choose another name, or move {driver.snapshot_path(snapshot)} out of the pool"
            raise Conflict("snapshot", name, cause=cause, remedy=remedy)

    async def drop(self, arguments: Mapping[str, str]) -> None:
        """Drop what there is of a snapshot whose taking did not end; may be called twice.

        Nothing happens when another one has its name by now.
        """
        place, name = noted(arguments)
        if (row := self._rows.find(place, name)) is not None:
            if row.created_at.isoformat() != arguments["created_at"]:
                return
            await self._rows.delete(place, name)
        with suppress(NotFound):
            await in_thread(self._acts.keeper(place).delete_snapshot, snapshot_of(place, name))

    # Changing

    async def replace(
        self,
        place: VolumePlace,
        name: str,
        put: StorageVolumeSnapshotPut,
        requestor: EventLifecycleRequestor | None = None,
    ) -> None:
        """Change the description, and the end if one is given. Raises NotFound, Invalid."""
        self._acts.locks.check_idle([volume_lock(*place)])
        async with self._acts.locks.hold([volume_lock(*place)]):
            row = self._get(place, name)
            ends = row.expires_at if put.expires_at is None else in_utc(put.expires_at)
            await self._rows.replace(msgspec.structs.replace(row, description=put.description, expires_at=ends))
            await self._acts.describe_done(place)
        self._acts.publish_snapshot("updated", place, name, requestor)

    def rename(
        self, place: VolumePlace, name: str, new_name: str, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start renaming a snapshot. Raises NotFound, Invalid for a bad name, Conflict for a taken one."""
        self._get(place, name)
        check_snapshot_name(new_name)
        if self._rows.find(place, new_name) is not None:
            raise taken(new_name)

        async def work(run: Run) -> None:
            self._get(place, name)
            self._acts.check_unread(place)
            self.check_nobodys(place, new_name)
            arguments = {**arguments_of(place, name), "new_name": new_name}
            await run.step(lambda: self._move(place, name, new_name), undo=RENAME_BACK, arguments=arguments)
            await self._acts.describe_done(place)
            self._acts.publish_snapshot("renamed", place, new_name, requestor, {"old_name": name})

        return self._start("Renaming storage volume snapshot", "storage_volume_snapshots", work, place)

    async def _move(self, place: VolumePlace, name: str, new_name: str) -> None:
        await in_thread(self._acts.keeper(place).rename_snapshot, snapshot_of(place, name), new_name)
        await self._rows.rename(place, name, new_name)

    async def rename_back(self, arguments: Mapping[str, str]) -> None:
        """Undo a rename that did not end; may be called twice."""
        place, name = noted(arguments)
        new_name, driver = arguments["new_name"], self._acts.keeper(place)
        if self._rows.find(place, name) is None and self._rows.find(place, new_name) is not None:
            await self._rows.rename(place, new_name, name)
        old, new = snapshot_of(place, name), snapshot_of(place, new_name)
        if not driver.has_snapshot(old) and driver.has_snapshot(new):
            await in_thread(driver.rename_snapshot, new, name)

    def delete(self, place: VolumePlace, name: str, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Start deleting a snapshot. Raises NotFound."""
        self._get(place, name)

        async def work(run: Run) -> None:
            await self.remove(run, place, name)
            self._acts.publish_snapshot("deleted", place, name, requestor)

        return self._start("Deleting storage volume snapshot", "storage_volume_snapshots", work, place)

    async def remove(self, run: Run, place: VolumePlace, name: str) -> None:
        """Delete a snapshot inside an operation that holds the volume's lock.

        Once its files are gone it is always finished: a daemon that dies after that goes on at its next start.
        """
        self._get(place, name)
        self._acts.check_unread(place)
        arguments = arguments_of(place, name)
        await run.step(lambda: self._delete(arguments), undo=FINISH_DELETE, arguments=arguments)
        await self._acts.describe_done(place)

    async def _delete(self, arguments: Mapping[str, str]) -> None:
        place, name = noted(arguments)
        await in_thread(self._acts.keeper(place).delete_snapshot, snapshot_of(place, name))
        await self.finish(arguments)

    async def finish(self, arguments: Mapping[str, str]) -> None:
        """Remove the row of a snapshot whose files are gone; may be called twice. With them it is still whole."""
        place, name = noted(arguments)
        with suppress(NotFound):
            if self._acts.keeper(place).has_snapshot(snapshot_of(place, name)):
                return
        await self._rows.delete(place, name)

    # Restoring

    async def restore(self, place: VolumePlace, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Make the files of a volume, which no running instance shows, what they were; its configuration stays.

        They change in one moment. Raises NotFound, Invalid with LXD's texts.
        """
        text = "Cannot restore custom volume used by running instances"
        self._acts.locks.check_idle([volume_lock(*place)])
        async with self._acts.locks.hold([volume_lock(*place)]), self._acts.unused(place, text):
            self._acts.row(place)
            if self._rows.find(place, name) is None:
                remedy = f"lxc storage volume info {place.pool} {place.name}"
                raise NotFound("snapshot", name, text="Snapshot not found", remedy=remedy)
            driver = self._acts.keeper(place)
            driver.path_of(volume_of(place))
            await in_thread(driver.restore_snapshot, snapshot_of(place, name), name)
            await self._acts.describe_done(place)
        self._acts.publish("restored", place, requestor, {"snapshot": name})


def arguments_of(place: VolumePlace, name: str) -> dict[str, str]:
    """A snapshot as the journal keeps it."""
    return {"pool": place.pool, "project": place.project, "volume": place.name, "name": name}


def undo_arguments(row: VolumeSnapshotRow) -> dict[str, str]:
    """A snapshot that is being made, as the journal keeps it for `drop`."""
    return {**arguments_of(row.volume, row.name), "created_at": row.created_at.isoformat()}


def noted(arguments: Mapping[str, str]) -> tuple[VolumePlace, str]:
    """A snapshot from the journal."""
    return VolumePlace(arguments["pool"], arguments["project"], arguments["volume"]), arguments["name"]
