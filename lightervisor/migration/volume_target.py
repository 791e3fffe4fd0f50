"""The side that gets a custom volume. Source: LXD, POST …/volumes/custom with a source of type migration; 5.0.2.

Its files are what the other server's rsync says: first those of each snapshot, the oldest first, then its own. A new
volume is there whole or not at all; one that is refreshed is whole at every moment. Only when all is stored for good
the other server is told that it has arrived.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from lightervisor.client.https import Outgoing
from lightervisor.config.names import VolumePlace
from lightervisor.db.storage_volumes import TAKEN, VolumeRow
from lightervisor.db.volume_snapshots import VolumeSnapshotRow
from lightervisor.errors import Conflict, Invalid
from lightervisor.images.partial import Gauge
from lightervisor.instances.sockets import Sockets
from lightervisor.kernel.threads import in_thread
from lightervisor.migration import btrfs
from lightervisor.migration.frames import Control
from lightervisor.migration.protobuf import LARGEST
from lightervisor.migration.rsync import receiving
from lightervisor.migration.source import PROGRESS
from lightervisor.migration.talk import CONNECT_S, CONTROL, FS, Talk, There, awaited, dialled
from lightervisor.migration.volume_talk import Coming, agree, arriving
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.model.storage_volume import StorageVolumeSource, StorageVolumesPost
from lightervisor.operations.locks import volume_lock
from lightervisor.operations.operations import Operations, Run, Work
from lightervisor.storage.driver import Snapshot, Volume
from lightervisor.storage.streams import SubvolumeStreams
from lightervisor.storage.volume_acts import VolumeActs, place_of, snapshot_of, volume_of
from lightervisor.storage.volume_arrivals import VolumeArrivals
from lightervisor.storage.volume_rules import known_config
from lightervisor.storage.volume_snapshots import VolumeSnapshots
from lightervisor.storage.volumes import Volumes


class VolumeReceiving:
    """Receives custom volumes from other servers."""

    def __init__(
        self,
        acts: VolumeActs,
        volumes: Volumes,
        snapshots: VolumeSnapshots,
        arrivals: VolumeArrivals,
        outgoing: Outgoing,
        operations: Operations,
    ) -> None:
        self._acts, self._volumes, self._snapshots, self._arrivals = acts, volumes, snapshots, arrivals
        self._outgoing, self._operations = outgoing, operations

    def receive(
        self, pool: str, project: str, post: StorageVolumesPost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Check a request and start receiving, or refreshing a volume that is there.

        Raises Invalid, NotFound, Conflict for what can be refused at once; the rest is in the operation.
        """
        source = post.source
        if source.mode not in ("", "pull", "push"):
            raise Invalid("source", text=f"Mode '{source.mode}' not implemented")
        row = self._volumes.planned(pool, project, msgspec.structs.replace(post, config=known_config(post.config)))
        is_there = any(one.name == row.name for one in self._acts.rows.list(pool, project))
        if is_there and not source.refresh:
            raise Conflict("storage volume", row.name, text=TAKEN)
        is_push = source.mode == "push"
        sockets = Sockets((CONTROL, FS), connect_s=CONNECT_S, longest_control=LARGEST) if is_push else None

        async def work(run: Run) -> None:
            async with self._connected(sockets, source) as talk:
                if is_there:
                    await self._refresh(run, talk, place_of(row), is_alone=source.volume_only)
                else:
                    await self._bring(run, talk, row, is_alone=source.volume_only)
                await in_thread(self._acts.keeper(place_of(row)).layout.keep)  # the other server may delete what it has
                await run.commit()
                await talk.control.tell(Control(success=True))
            self._acts.publish("updated" if is_there else "created", place_of(row), requestor)

        return self._start(work, place_of(row), sockets)

    def _start(self, work: Work, place: VolumePlace, sockets: Sockets | None) -> Operation:
        return self._operations.start(
            "Creating storage volume" if sockets else "Copying storage volume",
            work,
            project=place.project,
            resources={"storage_volumes": [f"/1.0/storage_volumes/{place.pool}/volumes/custom/{place.name}"]},
            locks=[volume_lock(*place)],
            cancellable=True,
            sockets=sockets.names if sockets else (),
            secrets_below="",
            connect=sockets.connect if sockets else None,
            longest_control=LARGEST,
        )

    def _connected(self, sockets: Sockets | None, source: StorageVolumeSource) -> AbstractAsyncContextManager[Talk]:
        if sockets is not None:
            return awaited(sockets)
        there = There(operation=source.operation, certificate=source.certificate, secrets=source.secrets)
        return dialled(self._outgoing, there)

    async def _bring(self, run: Run, talk: Talk, row: VolumeRow, *, is_alone: bool) -> None:
        place = place_of(row)
        coming = await agree(talk, place, self._acts.keeper(place), None, is_alone=is_alone)
        async with self._volumes.bringing(row, coming.snapshots):
            if coming.is_streamed:
                await self._take_streams(run, talk, coming, place)
                return
            like: Snapshot | None = None
            for one in coming.snapshots:
                target = snapshot_of(place, one.name)
                await self._take(run, talk, coming, place, target, like)
                like = target
            await self._take(run, talk, coming, place, volume_of(place), like)

    async def _take_streams(self, run: Run, talk: Talk, coming: Coming, place: VolumePlace) -> None:
        driver, gauge = self._acts.keeper(place), Gauge(place.name, 0, lambda text: run.progress(PROGRESS, text))
        if not isinstance(driver, SubvolumeStreams):
            raise TypeError("streams were not agreed on")
        names = [one.name for one in coming.snapshots]
        async with btrfs.receiving(talk, driver, names, is_lifted=True) as arrived:
            await arrived.all(gauge.add)
            for name in names:
                await arrived.adopt(snapshot_of(place, name), None)
            await arrived.adopt(volume_of(place), None)

    async def _refresh(self, run: Run, talk: Talk, place: VolumePlace, *, is_alone: bool) -> None:
        self._acts.row(place)
        async with self._acts.replaced(place):
            has = self._acts.snapshots.of(place)
            coming = await agree(talk, place, self._acts.keeper(place), has, is_alone=is_alone)
            like: Volume | Snapshot = volume_of(place)
            for one in coming.snapshots:
                await self._add(run, talk, coming, one, like)
                like = snapshot_of(place, one.name)
            await self._take(run, talk, coming, place, volume_of(place), volume_of(place))
            await self._acts.describe_done(place)
            if not is_alone:
                await self._drop(run, place, has, coming)

    async def _add(self, run: Run, talk: Talk, coming: Coming, row: VolumeSnapshotRow, like: Volume | Snapshot) -> None:
        async def make(snapshot: Snapshot) -> None:
            await self._take(run, talk, coming, row.volume, snapshot, like)

        await self._arrivals.add(run, row, make)
        await run.commit()

    async def _drop(self, run: Run, place: VolumePlace, has: Sequence[VolumeSnapshotRow], coming: Coming) -> None:
        """Delete the snapshots that the source no longer has."""
        for one in has:
            if one.name not in coming.offered:
                await self._snapshots.remove(run, place, one.name)

    async def _take(
        self,
        run: Run,
        talk: Talk,
        coming: Coming,
        place: VolumePlace,
        target: Volume | Snapshot,
        like: Volume | Snapshot | None,
    ) -> None:
        """Make or replace a volume or snapshot of what comes. Raises what `Line.carry` raises."""
        label = place.name if isinstance(target, Volume) else f"{place.name}/{target.name}"
        gauge = Gauge(label, 0, lambda text: run.progress(PROGRESS, text))
        async with (
            arriving(self._acts.keeper(place), target, like) as arrival,
            receiving(arrival.writable, coming.features, arrival.twin) as rsync,
        ):
            await talk.unless_ended(talk.fs.carry(rsync, gauge.add))
