"""The side that has a custom volume. Source: LXD, POST …/volumes/custom/<name> with `migration`; compared with 5.0.2.

    client     POST …  {"migration": true}             an operation with secrets; the other side dials (pull, relay)
    client     POST …  {"migration": true, "target"}   an operation that dials the other side's (push)

What it has is only read: whatever becomes of a transfer, the volume is as it was.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from lightervisor.client.https import Outgoing
from lightervisor.config.names import VolumePlace
from lightervisor.db.volume_snapshots import VolumeSnapshotRow
from lightervisor.errors import Failure, Invalid
from lightervisor.images.partial import Gauge
from lightervisor.instances.sockets import Sockets
from lightervisor.migration import btrfs, descriptions, volume_talk
from lightervisor.migration.frames import FilesBy, Header, RsyncFeatures
from lightervisor.migration.protobuf import LARGEST
from lightervisor.migration.rsync import OLD, SOURCE, limit_of, offered, sending
from lightervisor.migration.source import PROGRESS, Means
from lightervisor.migration.talk import CONNECT_S, CONTROL, FS, Talk, There, awaited, dialled, refused
from lightervisor.model.operation import Operation
from lightervisor.model.storage_volume import StorageVolumePost, StorageVolumePostTarget
from lightervisor.operations.locks import volume_lock
from lightervisor.operations.operations import Operations, Run
from lightervisor.storage import volume_roots
from lightervisor.storage.streams import SubvolumeStreams
from lightervisor.storage.volume_acts import VolumeActs
from lightervisor.storage.volume_roots import Roots


class VolumeSending:
    """Sends custom volumes to other servers."""

    def __init__(self, acts: VolumeActs, outgoing: Outgoing, operations: Operations) -> None:
        self._acts, self._outgoing, self._operations = acts, outgoing, operations

    def send(self, place: VolumePlace, post: StorageVolumePost) -> Operation:
        """Start sending a volume, with its snapshots unless it is to go alone. Raises NotFound."""
        self._acts.row(place)
        sockets, target = Sockets((CONTROL, FS), connect_s=CONNECT_S), post.target
        is_asked = target is None or not target.operation

        async def work(run: Run) -> None:
            async with self._connected(sockets, target) as talk:
                await self._send_all(run, talk, place, is_alone=post.volume_only)
                end = await talk.ended()
                if not end.success:
                    raise refused(end)

        return self._operations.start(
            "Migrating storage volume",
            work,
            project=place.project,
            resources={"storage_volumes": [f"/1.0/storage_volumes/{place.pool}/volumes/custom/{place.name}"]},
            locks=[volume_lock(*place)],
            cancellable=True,
            sockets=sockets.names if is_asked else (),
            secrets_below="",
            connect=sockets.connect,
            longest_control=LARGEST,
        )

    def _connected(self, sockets: Sockets, target: StorageVolumePostTarget | None) -> AbstractAsyncContextManager[Talk]:
        if target is None or not target.operation:
            return awaited(sockets)
        there = There(operation=target.operation, certificate=target.certificate, secrets=target.secrets)
        return dialled(self._outgoing, there)

    async def _send_all(self, run: Run, talk: Talk, place: VolumePlace, *, is_alone: bool) -> None:
        row = self._acts.row(place)
        rows = [] if is_alone else self._acts.snapshots.of(place)
        wanted, means = await self._agree(talk, rows, place)
        if talk.index_version:
            text = volume_talk.index(self._acts.description(row, wanted))
            await talk.unless_ended(talk.fs.send_text(text))
            descriptions.answered(await talk.unless_ended(talk.fs.text()))
        async with volume_roots.opened(self._acts, run, place, [one.name for one in wanted]) as roots:
            if means is None:
                await self._send_streams(run, talk, place, roots)
                return
            for name, root in roots.snapshots.items():
                await self._send(run, talk, root, means, f"{place.name}/{name}")
            await self._send(run, talk, roots.volume, means, place.name)

    async def _agree(
        self, talk: Talk, rows: Sequence[VolumeSnapshotRow], place: VolumePlace
    ) -> tuple[list[VolumeSnapshotRow], Means | None]:
        """Offer what there is; what the other side wants of it, and how: by rsync, or None for streams.

        Raises Failure, Invalid.
        """
        driver = self._acts.keeper(place)
        config, has_streams = driver.config, isinstance(driver, SubvolumeStreams)
        offer = Header(
            files_by=FilesBy.BTRFS if has_streams else FilesBy.RSYNC,
            btrfs=btrfs.FEATURES if has_streams else None,
            snapshot_names=tuple(row.name for row in rows),
            snapshots=tuple(volume_talk.told(row) for row in rows),
            rsync=offered(config, is_far=not talk.is_on_this_host),
            index_version=descriptions.INDEX_VERSION,
        )
        await talk.control.tell(offer)
        answer = await talk.control.message(Header)
        talk.agreed(answer.index_version)
        is_streamed = has_streams and answer.files_by == FilesBy.BTRFS and btrfs.common(answer.btrfs) is not None
        if not is_streamed and answer.files_by != FilesBy.RSYNC:
            raise Failure("migration", text="No matching migration types found")
        said = answer.rsync or RsyncFeatures()
        wanted = set(answer.snapshot_names) if answer.refresh else {row.name for row in rows}
        if unknown := wanted - {row.name for row in rows}:
            raise Invalid("migration", cause=f"the other server asks for a snapshot {min(unknown)!r} that is not there")
        means = None if is_streamed else Means(said if said.bidirectional else OLD, limit_of(config))
        return [row for row in rows if row.name in wanted], means

    async def _send_streams(self, run: Run, talk: Talk, place: VolumePlace, roots: Roots) -> None:
        driver, gauge = self._acts.keeper(place), Gauge(place.name, 0, lambda text: run.progress(PROGRESS, text))
        if not isinstance(driver, SubvolumeStreams):
            raise TypeError("streams were not offered")
        trees = {name: root.parent for name, root in {**roots.snapshots, "": roots.volume}.items()}
        await btrfs.send(talk, driver, trees, gauge.add, is_lifted=True)

    async def _send(self, run: Run, talk: Talk, root: Path, means: Means, label: str) -> None:
        gauge = Gauge(label, 0, lambda text: run.progress(PROGRESS, text))
        async with sending({root: SOURCE}, means.features, limit=means.limit) as rsync:
            await talk.unless_ended(talk.fs.carry(rsync, gauge.add))
