"""The side that has the instance. Source: LXD, POST /1.0/instances/<name> with `migration`; compared with LXD 5.0.2.

    client     POST …  {"migration": true}             an operation with secrets; the other side dials (pull, relay)
    client     POST …  {"migration": true, "target"}   an operation that dials the other side's (push)

What it has is only read: whatever becomes of a transfer, the instance is as it was.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import NamedTuple

from lightervisor.client.https import Outgoing
from lightervisor.config.types import is_true
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.errors import Failure, Invalid, Unsupported
from lightervisor.images.partial import Gauge
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.snapshots import Snapshots
from lightervisor.instances.sockets import Sockets
from lightervisor.migration import btrfs, descriptions
from lightervisor.migration.frames import FilesBy, Header, MemoryBy, RsyncFeatures
from lightervisor.migration.live import LiveSending
from lightervisor.migration.protobuf import LARGEST
from lightervisor.migration.roots import Tree, directory_of
from lightervisor.migration.rsync import OLD, limit_of, offered, sending
from lightervisor.migration.talk import CONNECT_S, CONTROL, FS, MEMORY, Talk, There, awaited, dialled, refused
from lightervisor.model.instance import InstancePostTarget
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Operations, Run
from lightervisor.storage.driver import StorageDriver
from lightervisor.storage.streams import SubvolumeStreams

log = logging.getLogger(__name__)
PROGRESS, PRE_COPY = "fs_progress", "migration.incremental.memory"


class Means(NamedTuple):
    """How files travel: what both rsyncs do, and the most that ours sends."""

    features: RsyncFeatures
    limit: str
    with_memory: bool = False
    """Whether stateful snapshots have theirs with them."""


class Sending:
    """Sends instances and snapshots to other servers."""

    def __init__(
        self,
        catalog: Catalog,
        rows: SnapshotRows,
        snapshots: Snapshots,
        live: LiveSending,
        outgoing: Outgoing,
        operations: Operations,
    ) -> None:
        self._catalog, self._rows, self._snapshots = catalog, rows, snapshots
        self._live, self._roots = live, live.roots
        self._outgoing, self._operations = outgoing, operations

    async def instance(
        self, project: str, name: str, target: InstancePostTarget | None, *, live: bool, instance_only: bool
    ) -> Operation:
        """Start sending an instance, one that runs with what it has in memory if it is `live`.

        Raises NotFound; Failure, Unsupported when that cannot be.
        """
        row = self._catalog.row(project, name)
        is_live = live and self._roots.is_running(project, name)
        if is_live:
            await self._live.check(row)
            if is_true(self._catalog.expand(row).config.get(PRE_COPY, "")):
                log.warning("instance %s: its memory is sent while it stands still, %s has no effect", name, PRE_COPY)

        async def work(run: Run, talk: Talk) -> None:
            rows = [] if instance_only else self._rows.of(project, name)
            driver = self._roots.driver(project, name)
            wanted, means = await self._agree(talk, rows, driver, is_live=is_live)
            await self._describe(talk, project, name, wanted)
            if means is None:
                opened = {one.name: self._roots.snapshot(project, name, one.name) for one in wanted}
                await self._send_streams(run, talk, {**opened, "": self._roots.instance(run, project, name)}, driver)
                return
            for one in wanted:
                opened = self._roots.snapshot(project, name, one.name, with_memory=means.with_memory)
                await self._send(run, talk, opened, means, f"{name}/{one.name}")
            await self._send(run, talk, self._roots.instance(run, project, name), means, name)
            if is_live:

                async def send_files() -> None:
                    opened = self._roots.instance(run, project, name, is_held=True)
                    await self._send(run, talk, opened, means, name)

                await self._live.hand_over(run, talk, row, send_files)

        return self._start("Migrating instance", project, name, work, target, is_live=is_live)

    def snapshot(self, project: str, instance: str, name: str, target: InstancePostTarget | None) -> Operation:
        """Start sending a snapshot, which becomes an instance there. Raises NotFound."""
        self._catalog.row(project, instance)
        self._rows.get(project, instance, name)

        async def work(run: Run, talk: Talk) -> None:
            driver, opened = self._roots.driver(project, instance), self._roots.snapshot(project, instance, name)
            _, means = await self._agree(talk, [], driver)
            await self._describe(talk, project, instance, [])
            if means is None:
                await self._send_streams(run, talk, {"": opened}, driver)
            else:
                await self._send(run, talk, opened, means, f"{instance}/{name}")

        return self._start("Transferring snapshot", project, instance, work, target)

    def _start(
        self,
        description: str,
        project: str,
        instance: str,
        work: "_Work",
        target: InstancePostTarget | None,
        *,
        is_live: bool = False,
    ) -> Operation:
        sockets = Sockets((CONTROL, FS, MEMORY) if is_live else (CONTROL, FS), connect_s=CONNECT_S)

        async def run_connected(run: Run) -> None:
            async with self._connected(sockets, target) as talk:
                await work(run, talk)
                end = await talk.ended()
                if not end.success:
                    raise refused(end)

        is_asked = target is None or not target.operation
        return self._operations.start(
            description,
            run_connected,
            project=project,
            resources={kind: [f"/1.0/{kind}/{instance}"] for kind in ("instances", "containers")},
            cancellable=True,
            sockets=sockets.names if is_asked else (),
            secrets_below="",
            connect=sockets.connect,
            longest_control=LARGEST,
        )

    def _connected(self, sockets: Sockets, target: InstancePostTarget | None) -> AbstractAsyncContextManager[Talk]:
        if target is None or not target.operation:
            return awaited(sockets)
        there = There(operation=target.operation, certificate=target.certificate, secrets=target.secrets)
        return dialled(self._outgoing, there)

    async def _agree(
        self, talk: Talk, rows: Sequence[SnapshotRow], driver: StorageDriver, *, is_live: bool = False
    ) -> tuple[list[SnapshotRow], Means | None]:
        """Offer what there is; what the other side wants of it, and how: by rsync, or None for streams.

        Raises Failure.
        """
        config, has_memory = driver.config, any(row.stateful for row in rows)
        has_streams = isinstance(driver, SubvolumeStreams) and not is_live and not has_memory
        offer = Header(
            files_by=FilesBy.BTRFS if has_streams else FilesBy.RSYNC,
            btrfs=btrfs.FEATURES if has_streams else None,
            memory_by=MemoryBy.CRIU if is_live else None,
            snapshot_names=tuple(row.name for row in rows),
            snapshots=tuple(descriptions.told(row) for row in rows),
            predump=False,
            rsync=offered(config, is_far=not talk.is_on_this_host),
            index_version=descriptions.INDEX_VERSION,
            snapshot_memory=has_memory or None,
        )
        await talk.control.tell(offer)
        answer = await talk.control.message(Header)
        talk.agreed(answer.index_version)
        is_streamed = has_streams and answer.files_by == FilesBy.BTRFS and btrfs.common(answer.btrfs) is not None
        if not is_streamed and answer.files_by != FilesBy.RSYNC:
            raise Failure("migration", text="No matching migration types found")
        if is_live and answer.memory_by != MemoryBy.CRIU:
            cause = "the other server does not take what is in memory"
            raise Unsupported("migration", cause=cause, remedy="use --stateless")
        said = answer.rsync or RsyncFeatures()
        features = said if said.bidirectional else OLD
        wanted = set(answer.snapshot_names) if answer.refresh else {row.name for row in rows}
        if unknown := wanted - {row.name for row in rows}:
            raise Invalid("migration", cause=f"the other server asks for a snapshot {min(unknown)!r} that is not there")
        if has_memory and not answer.snapshot_memory:
            log.warning("the memory of stateful snapshots stays here: the other server does not take it")
        means = None if is_streamed else Means(features, limit_of(config), bool(answer.snapshot_memory))
        return [row for row in rows if row.name in wanted], means

    async def _describe(self, talk: Talk, project: str, name: str, wanted: Sequence[SnapshotRow]) -> None:
        """Send the index, if the other side reads one."""
        if not talk.index_version:
            return
        names = {row.name for row in wanted}
        snapshots = [one for one in self._snapshots.all_of(project, name) if one.name in names]
        await talk.unless_ended(talk.fs.send_text(descriptions.index(self._catalog.get(project, name), snapshots)))
        descriptions.answered(await talk.unless_ended(talk.fs.text()))

    async def _send(
        self, run: Run, talk: Talk, opened: AbstractAsyncContextManager[Tree], means: Means, label: str
    ) -> None:
        gauge = Gauge(label, 0, lambda text: run.progress(PROGRESS, text))
        async with opened as tree, sending(tree, means.features, limit=means.limit) as rsync:
            await talk.unless_ended(talk.fs.carry(rsync, gauge.add))

    async def _send_streams(
        self,
        run: Run,
        talk: Talk,
        opened: Mapping[str, AbstractAsyncContextManager[Tree]],
        driver: StorageDriver,
    ) -> None:
        if not isinstance(driver, SubvolumeStreams):
            raise TypeError("streams were not offered")
        gauge = Gauge("", 0, lambda text: run.progress(PROGRESS, text))
        async with AsyncExitStack() as stack:
            trees = {name: directory_of(await stack.enter_async_context(one)) for name, one in opened.items()}
            await btrfs.send(talk, driver, trees, gauge.add)


_Work = Callable[[Run, Talk], Awaitable[None]]
