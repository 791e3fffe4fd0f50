"""What instances are copied from: others and their snapshots, and what becomes of these in a copy."""

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import msgspec

from lightervisor.config.merge import Devices, Expanded, expand, root_device
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, Invalid, NotFound
from lightervisor.instances import cloud_init
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.snapshot_names import HIDDEN
from lightervisor.instances.still import let_go, still_of
from lightervisor.instances.volume_copies import Origin, VolumeCopies
from lightervisor.instances.volumes import SnapshotPlace
from lightervisor.kernel.threads import finished
from lightervisor.model.instance import InstanceSource
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Run
from lightervisor.storage.driver import Still

DROP = "drop snapshot of instance that was being copied"
LET_GO = "let go of instance that was being copied"
COPY = "copy"
IDENTITY = ("volatile.uuid", cloud_init.IDENTITY)


class Source(NamedTuple):
    """An instance, or one of its snapshots, and what is stored about it."""

    instance: str
    row: InstanceRow | SnapshotRow

    @property
    def snapshot(self) -> str:
        """The snapshot's name, "" for the instance itself."""
        return self.row.name if isinstance(self.row, SnapshotRow) else ""


class Sources:
    """What may be copied."""

    def __init__(self, snapshots: SnapshotRows, catalog: Catalog, boot: Boot, copies: VolumeCopies) -> None:
        self.snapshots, self.catalog, self._boot, self.copies = snapshots, catalog, boot, copies

    def find(self, project: str, source: InstanceSource) -> Source:
        """What a request names. Raises Invalid, NotFound with LXD's texts."""
        if not source.source:
            raise Invalid("source", text="Must specify a source instance")
        instance, separator, snapshot = source.source.partition("/")
        if source.project not in ("", project):
            text = f'Failed to fetch instance "{instance}" in project "{source.project}": Instance not found'
            raise NotFound("instance", instance, text=text)
        row = self.catalog.row(project, instance)
        return Source(instance, self.snapshots.get(project, instance, snapshot) if separator else row)

    def kept(self, project: str, source: Source, wanted: InstanceSource) -> list[SnapshotRow]:
        """The snapshots that go with the copy, the oldest first."""
        is_alone = source.snapshot or wanted.instance_only or wanted.container_only
        return [] if is_alone else self.snapshots.of(project, source.instance)

    def pool(self, project: str, instance: str) -> str:
        """The pool of an instance. Raises NotFound."""
        return self.copies.volumes.pool_of(self.catalog.expand(self.catalog.row(project, instance)).devices)

    async def ready(self, project: str, source: Source) -> tuple[Origin, Still | None]:
        """The files of a source, and what holds it still where that is needed; the instance's lock is held.

        Also when the request allows for what is not consistent: who walks through a tree that its guest changes at the
        same time may be led out of it.
        """
        await self._boot.cleaned_up(project, source.instance)
        origin = Origin(self.pool(project, source.instance), project, source.instance, source.snapshot)
        if source.snapshot:
            return origin, None
        return origin, still_of(self._boot, self.catalog, project, source.instance)

    @asynccontextmanager
    async def opened(
        self, run: Run, project: str, source: Source, kept: Sequence[SnapshotRow], pool: str
    ) -> AsyncGenerator[tuple[Origin, Still | None], None]:
        """As `ready`, for a copy into a pool with these of its snapshots; the operation holds the instance's lock.

        Where it takes long the lock is let go of. Then the files are those of a snapshot that nobody sees: the source
        goes its way, but for being deleted or renamed. Where a snapshot would be one more copy the source itself is
        read, and gets no other files either; when nobody writes to it, it does not start.
        """
        origin, still = await self.ready(project, source)
        volumes = self.copies.volumes
        shares = volumes.driver(origin.pool).SHARES
        if pool == origin.pool and shares and still is None:
            yield origin, still
            return
        if not source.snapshot and (pool == origin.pool or (still is None and not shares)):
            async with self.read_in_place(run, origin, kept, still):
                yield origin, still
            return
        place = SnapshotPlace(project, source.instance, source.snapshot or f"{HIDDEN}{secrets.token_hex(4)}")
        if not source.snapshot:
            arguments = {**place._asdict(), "pool": origin.pool, "held": "yes" if still else ""}
            await run.step(lambda: volumes.create_snapshot(origin.pool, place, still), undo=DROP, arguments=arguments)
        async with volumes.reading(origin.pool, [place, *(place._replace(name=one.name) for one in kept)]):
            run.held.release(instance_lock(project, source.instance))
            try:
                yield origin._replace(snapshot=place.name), None
            finally:
                if not source.snapshot:
                    await finished(volumes.delete_snapshot(origin.pool, place))

    @asynccontextmanager
    async def read_in_place(
        self, run: Run, origin: Origin, kept: Sequence[SnapshotRow], still: Still | None
    ) -> AsyncGenerator[None, None]:
        """The lock of a source is let go of while its own files, or those of a snapshot, and of these are read.

        Not of one that could be thawed meanwhile, or goes with its end.
        """
        volumes, project, instance = self.copies.volumes, origin.project, origin.instance
        async with volumes.reading(origin.pool, _places(origin, kept)):
            if origin.snapshot:
                run.held.release(instance_lock(project, instance))
                yield
                return
            with volumes.reading_in_place(project, instance, COPY, starts=still is not None):
                ends = self.catalog.row(project, instance).ephemeral
                if not ends and self.catalog.status(project, instance) != "Frozen":
                    run.held.release(instance_lock(project, instance))
                yield

    async def drop(self, arguments: Mapping[str, str]) -> None:
        """Undo the snapshot that nobody sees; may be called twice.

        It gets its place when its instance has been let go: without it the instance may be held still.
        """
        place = SnapshotPlace(arguments["project"], arguments["instance"], arguments["name"])
        volumes, pool = self.copies.volumes, arguments["pool"]
        with suppress(NotFound):
            if volumes.has_snapshot(pool, place):
                await volumes.delete_snapshot(pool, place)
            elif arguments["held"] and self.catalog.status(place.project, place.instance) == "Frozen":
                await self.let_go({"project": place.project, "name": place.instance})

    async def let_go(self, arguments: Mapping[str, str]) -> None:
        """Undo that a source is held still; it may have ended meanwhile."""
        with suppress(Failure):
            await let_go(self._boot, self.catalog, arguments["project"], arguments["name"])

    def adopted(self, snapshot: SnapshotRow, row: InstanceRow, expanded: Expanded) -> SnapshotRow:
        """A snapshot of a source as one of its copy: with its dates, and what tells the copy from its source.

        LXD keeps the source's addresses and identity there, which a restore would bring back.
        """
        own = {key: row.config[key] for key in snapshot.config if _is_identity(key) and key in row.config}
        config = {key: value for key, value in snapshot.config.items() if not _is_identity(key)} | own
        return msgspec.structs.replace(self.moved(snapshot, expanded), instance=row.name, config=config)

    def moved(self, snapshot: SnapshotRow, expanded: Expanded) -> SnapshotRow:
        """A snapshot whose root disk is where that of its instance is now, which has these devices."""
        layers = self.catalog.known_profiles(snapshot.project, snapshot.profiles)
        was = expand(layers, snapshot.config, snapshot.devices).devices
        return msgspec.structs.replace(
            snapshot,
            devices=in_its_pool(snapshot.devices, was, expanded.devices),
        )


def _places(origin: Origin, kept: Sequence[SnapshotRow]) -> list[SnapshotPlace]:
    names = [origin.snapshot] * bool(origin.snapshot) + [one.name for one in kept]
    return [SnapshotPlace(origin.project, origin.instance, name) for name in names]


def inherited(source: InstanceRow | SnapshotRow, given: Mapping[str, str]) -> dict[str, str]:
    """The configuration of a copy: its source's, but for what is volatile, and what the request gives.

    Clients send all that they have read of the source when they refresh: its identity and addresses stay with it.
    """
    kept = ("volatile.base_image", "volatile.last_state.idmap")
    own = {key: value for key, value in source.config.items() if not key.startswith("volatile.") or key in kept}
    sent = {
        key: value
        for key, value in given.items()
        if not key.startswith("volatile.") or key in kept or source.config.get(key) != value
    }
    return {**own, **sent}


def in_its_pool(own: Devices, was: Devices, now: Devices) -> dict[str, dict[str, str]]:
    """A snapshot's own devices, with its root disk in the pool where that of its instance is now.

    `was` and `now` are the merged devices of the snapshot and of the instance. Source: LXD, copies between pools.
    """
    devices = {name: dict(device) for name, device in own.items()}
    before, root = root_device(was), root_device(now)
    if root is None or (before is not None and before[1].get("pool") == root[1]["pool"]):
        return devices
    if before is not None and before[0] in devices:
        devices[before[0]]["pool"] = root[1]["pool"]
    else:
        devices[root[0]] = {"type": "disk", "path": "/", "pool": root[1]["pool"]}
    return devices


def _is_identity(key: str) -> bool:
    return key in IDENTITY or (key.startswith("volatile.") and key.endswith(".hwaddr"))
