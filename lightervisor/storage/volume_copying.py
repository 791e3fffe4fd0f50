"""Copies of custom volumes on this server, new and refreshed. Source: LXD, POST …/volumes/custom with a source; 5.0.2.

A new copy is there whole or not at all. One that is refreshed is whole at every moment: the snapshots that it lacks
come first, its files change in one moment, and the snapshots that the source no longer has go last.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from lightervisor.config.names import VolumePlace
from lightervisor.db.storage_volumes import TAKEN
from lightervisor.db.volume_snapshots import VolumeSnapshotRow
from lightervisor.errors import Conflict, Invalid, NotFound
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.model.storage_volume import StorageVolumeSource, StorageVolumesPost
from lightervisor.operations.operations import Run
from lightervisor.storage import carrying
from lightervisor.storage.carrying import Goods, Place
from lightervisor.storage.driver import Snapshot, Volume
from lightervisor.storage.volume_acts import VolumeActs, place_of, snapshot_of, volume_of
from lightervisor.storage.volume_arrivals import VolumeArrivals
from lightervisor.storage.volume_snapshots import VolumeSnapshots
from lightervisor.storage.volumes import Volumes
from lightervisor.storage.watched import shown, watched

DESCRIPTION = "Copying storage volume"


class Origin(NamedTuple):
    """What is copied: a volume, or a snapshot of it."""

    volume: VolumePlace
    snapshot: str

    @property
    def files(self) -> Volume | Snapshot:
        """What storage drivers know it as."""
        return snapshot_of(self.volume, self.snapshot) if self.snapshot else volume_of(self.volume)


class VolumeCopying:
    """Copies custom volumes."""

    def __init__(
        self, acts: VolumeActs, volumes: Volumes, snapshots: VolumeSnapshots, arrivals: VolumeArrivals
    ) -> None:
        self._acts, self._volumes, self._snapshots, self._arrivals = acts, volumes, snapshots, arrivals

    def copy(
        self, pool: str, project: str, post: StorageVolumesPost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start copying what `post.source` names, or refreshing a copy that is there.

        Raises Invalid, NotFound, Conflict with LXD's texts for what can be refused at once.
        """
        origin = self._origin(pool, project, post.source)
        told = self._told(origin)
        given = msgspec.structs.replace(post, config=post.config or told.config)
        row = self._volumes.planned(pool, project, given)
        row = msgspec.structs.replace(row, description=post.description or told.description)
        place, source = place_of(row), post.source
        if any(one.name == row.name for one in self._acts.rows.list(pool, project)):
            if not source.refresh:
                raise Conflict("storage volume", row.name, text=TAKEN)
            return self._refresh(place, origin, source, requestor)

        async def work(run: Run) -> None:
            kept = self.kept(origin, source)
            goods = Goods(self._acts.keeper(origin.volume), origin.files, [one.name for one in kept])
            target = Place(self._acts.keeper(place), volume_of(place))
            adopted = [msgspec.structs.replace(one, volume=place) for one in kept]
            async with (
                self._acts.reading(run, origin.volume, itself=not origin.snapshot) as still,
                self._volumes.bringing(row, adopted),
            ):
                await watched(place.name, shown(run), carrying.copy, goods, target, still)
            self._acts.publish("created", place, requestor)

        return self._acts.start(DESCRIPTION, work, [place, origin.volume], cancellable=True)

    def _origin(self, pool: str, project: str, source: StorageVolumeSource) -> Origin:
        if source.project not in ("", project):
            raise NotFound("project", source.project)
        if not source.name:
            raise Invalid("source", text="No source volume name supplied")
        name, _, snapshot = source.name.partition("/")
        return Origin(VolumePlace(source.pool or pool, project, name), snapshot)

    def _told(self, origin: Origin) -> StorageVolumesPost:
        """Configuration and description of a source. Raises NotFound with LXD's text."""
        row = self._acts.row(origin.volume)
        kept = self._acts.snapshots.get(origin.volume, origin.snapshot) if origin.snapshot else None
        found = kept or row
        return StorageVolumesPost(config=found.config, description=found.description)

    def kept(self, origin: Origin, source: StorageVolumeSource) -> list[VolumeSnapshotRow]:
        """The snapshots that go with the copy, the oldest first. Raises NotFound when the source is gone."""
        self._told(origin)
        return [] if origin.snapshot or source.volume_only else self._acts.snapshots.of(origin.volume)

    # Refreshing

    def _refresh(
        self,
        place: VolumePlace,
        origin: Origin,
        source: StorageVolumeSource,
        requestor: EventLifecycleRequestor | None,
    ) -> Operation:
        if origin.volume == place:
            cause = "it cannot be refreshed from itself"
            raise Invalid("storage volume", place.name, cause=cause, remedy="name another source")

        async def work(run: Run) -> None:
            self._acts.row(place)
            async with (
                self._acts.replaced(place),
                self._acts.reading(run, origin.volume, itself=not origin.snapshot) as still,
            ):
                surplus: list[str] = []
                if not origin.snapshot and not source.volume_only:
                    surplus = await self._add_snapshots(run, origin, place, self.kept(origin, source))
                goods = Goods(self._acts.keeper(origin.volume), origin.files, [])
                target = Place(self._acts.keeper(place), volume_of(place))
                await watched(place.name, shown(run), carrying.replace, goods, target, still)
                await self._acts.describe_done(place)
                for name in surplus:
                    await self._snapshots.remove(run, place, name)
            self._acts.publish("updated", place, requestor)

        return self._acts.start(DESCRIPTION, work, [place, origin.volume], cancellable=True)

    async def _add_snapshots(
        self, run: Run, origin: Origin, place: VolumePlace, wanted: Sequence[VolumeSnapshotRow]
    ) -> list[str]:
        """Copy those that the target lacks; what is left to be removed. One that was taken anew is another one."""
        has = {one.name: one for one in self._acts.snapshots.of(place)}
        for one in wanted:
            known = has.pop(one.name, None)
            if known is not None and known.created_at == one.created_at:
                continue
            await self._add_snapshot(run, origin, msgspec.structs.replace(one, volume=place))
        return list(has)

    async def _add_snapshot(self, run: Run, origin: Origin, row: VolumeSnapshotRow) -> None:
        goods = Goods(self._acts.keeper(origin.volume), snapshot_of(origin.volume, row.name), [])
        target = Place(self._acts.keeper(row.volume), volume_of(row.volume))

        async def make(snapshot: Snapshot) -> None:
            copying = functools.partial(carrying.copy_snapshot, goods, target, snapshot.name)
            await watched(row.volume.name, shown(run), copying)

        await self._arrivals.add(run, row, make)
