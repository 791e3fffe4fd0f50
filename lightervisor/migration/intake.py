"""What both kinds of arrival have in common, of a new instance and of a refreshed one: the agreement, and the files."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, Invalid, Unavailable, Unsupported
from lightervisor.images.partial import Gauge
from lightervisor.instances.memory_files import STATE
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.threads import in_thread
from lightervisor.migration import btrfs, descriptions, live
from lightervisor.migration.arrival import arriving
from lightervisor.migration.descriptions import mark
from lightervisor.migration.frames import FilesBy, Header, MemoryBy, RsyncFeatures
from lightervisor.migration.rsync import OLD, offered, receiving
from lightervisor.migration.talk import Talk
from lightervisor.operations.operations import Run
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from lightervisor.storage.streams import SubvolumeStreams
from lightervisor.storage.volume import PostponedError

PROGRESS = "fs_progress"
Check = Callable[[Sequence[SnapshotRow]], None]


class Coming(Struct, frozen=True, kw_only=True):
    """What the two servers agreed on: `snapshots` come, in this order; `offered` are all that the source has."""

    snapshots: Sequence[SnapshotRow]
    offered: Sequence[SnapshotRow]
    features: RsyncFeatures
    is_streamed: bool = False
    idmap: IdMap | None
    passes: int
    is_live: bool = False


async def agree(
    talk: Talk,
    ours: InstanceRow,
    driver: StorageDriver,
    check: Check,
    has: Sequence[SnapshotRow] | None = None,
    *,
    is_refresh: bool = False,
) -> Coming:
    """Read an offer and answer it: `ours` is to come into a pool of this driver, with snapshots that pass `check`.

    `has` are the snapshots of what is there, an instance that is refreshed or what has arrived of one before; without
    it there is nothing.

    Raises Invalid for what cannot be, Unsupported, Failure when the other side can only do what we cannot.
    """
    offer = await talk.control.message(Header)
    is_live = offer.memory_by not in (None, MemoryBy.NOTHING)
    if is_live and (is_refresh or not talk.has_memory or offer.memory_by != MemoryBy.CRIU):
        remedy = "stop it, or add --stateless: its files are received as they are at this moment"
        raise Unsupported("migration", cause="what processes have in memory cannot be received so", remedy=remedy)
    if is_live:
        await live.check_here()
    if offer.rsync is None and offer.files_by != FilesBy.RSYNC:
        raise Failure("migration", text="No matching migration types found")
    if len(offer.snapshots) != len(offer.snapshot_names):
        raise Invalid("migration", cause="the other server names other snapshots than it describes")
    has_memory = bool(offer.snapshot_memory)
    rows = [
        msgspec.structs.replace(
            descriptions.kept(one, ours.project, ours.name, ours.architecture), stateful=has_memory and one.stateful
        )
        for one in offer.snapshots
    ]
    if len({row.name for row in rows}) != len(rows):
        raise Invalid("migration", cause="the other server offers a snapshot twice")
    idmap = descriptions.idmap(offer.idmap)
    known = {mark(row) for row in has or ()}
    wanted = [row for row in rows if mark(row) not in known]
    check(wanted)
    names = {row.name for row in wanted}
    said = offer.rsync or OLD
    # A refresh goes by rsync, which knows what is there already.
    is_new = has is None and not is_live and isinstance(driver, SubvolumeStreams)
    features = btrfs.common(offer.btrfs) if is_new and offer.files_by == FilesBy.BTRFS else None
    answer = Header(
        files_by=FilesBy.RSYNC if features is None else FilesBy.BTRFS,
        btrfs=features,
        memory_by=offer.memory_by,
        snapshot_names=tuple(row.name for row in wanted),
        snapshots=tuple(one for one in offer.snapshots if one.name in names),
        predump=False,
        rsync=_common(said, offered(driver.config)) if said.bidirectional else OLD,
        refresh=has is not None,
        index_version=min(offer.index_version or 0, descriptions.INDEX_VERSION),
        snapshot_memory=has_memory or None,
    )
    talk.agreed(answer.index_version)
    await talk.control.tell(answer)
    if talk.index_version:
        await talk.unless_ended(talk.fs.text())
        await talk.fs.send_text(descriptions.noted(is_refresh=has is not None))
    return Coming(
        snapshots=wanted,
        offered=rows,
        features=answer.rsync or OLD,
        is_streamed=features is not None,
        idmap=idmap,
        passes=2 if is_live or offer.memory_by == MemoryBy.NOTHING else 1,
        is_live=is_live,
    )


class Intake:
    """Takes in the files of one instance, volume by volume, as they come."""

    def __init__(self, run: Run, talk: Talk, coming: Coming, driver: StorageDriver) -> None:
        self._run, self._talk, self._coming, self._driver = run, talk, coming, driver

    async def take(
        self,
        target: Volume | Snapshot,
        alike: Sequence[Volume | Snapshot],
        label: str,
        *,
        of: SnapshotRow | None = None,
        keeps: Volume | None = None,
    ) -> None:
        """Make or replace a volume or snapshot, knowing what it will be like, the most likely first.

        `of` is the snapshot that it is, in either place; without it that is the instance itself, the memory of which
        comes before the last pass. When the connection is cut, `keeps` has what has arrived, which may be the target.
        Raises what `Line.carry` raises.
        """
        gauge = Gauge(label, 0, lambda text: self._run.progress(PROGRESS, text))
        passes = self._coming.passes if of is None else 1
        cut: Unavailable | None = None
        with suppress(PostponedError):
            async with AsyncExitStack() as stack:
                opened = arriving(self._driver, target, alike, self._coming.idmap)
                arrival = await stack.enter_async_context(opened)
                try:
                    for left in reversed(range(passes)):
                        if of is None and self._coming.is_live and not left:
                            await self._take_memory(stack, arrival.directory, label)
                        async with receiving(arrival.writable, self._coming.features, arrival.twins) as rsync:
                            await self._talk.unless_ended(self._talk.fs.carry(rsync, gauge.add))
                    arrival.has_memory = of is not None and of.stateful
                except Unavailable as failure:
                    if keeps is None:
                        raise
                    cut = failure
                    if keeps != target:
                        raise PostponedError(keeps) from failure
        if cut is not None:
            raise cut

    async def _take_memory(self, stack: AsyncExitStack, volume: Path, label: str) -> None:
        place = await in_thread(self._driver.layout.trash.new)
        stack.push_async_callback(in_thread, self._driver.layout.trash.remove, place)
        await live.take_in(self._run, self._talk, label, place)
        await live.settle(place, volume / STATE)

    async def take_streams(self, volume: Volume, label: str) -> None:
        """Make a volume and its snapshots of streams. Raises Invalid, HostError, what `Line` raises."""
        if not isinstance(self._driver, SubvolumeStreams):
            raise TypeError("streams were not agreed on")
        gauge = Gauge(label, 0, lambda text: self._run.progress(PROGRESS, text))
        names = [one.name for one in self._coming.snapshots]
        async with btrfs.receiving(self._talk, self._driver, names) as arrived:
            await arrived.all(gauge.add)
            for name in names:
                await arrived.adopt(Snapshot(volume, name), self._coming.idmap)
            await arrived.adopt(volume, self._coming.idmap)


def _common(one: RsyncFeatures, other: RsyncFeatures) -> RsyncFeatures:
    names = RsyncFeatures.__struct_fields__
    return RsyncFeatures(**{name: getattr(one, name) and getattr(other, name) for name in names})
