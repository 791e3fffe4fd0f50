"""Taking snapshots of instances. Source: LXD, POST /1.0/instances/<name>/snapshots."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from lightervisor.config import expiry
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows, taken
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, Invalid, NotFound
from lightervisor.instances import snapshot_names
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.snapshot_acts import SnapshotActs, arguments_of, place_of
from lightervisor.instances.stateful import Stateful
from lightervisor.instances.still import let_go, still_of
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstanceSnapshotsPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import ZERO_TIME, in_utc, now
from lightervisor.operations.operations import Run
from lightervisor.storage.driver import Still
from lightervisor.templates.patterns import next_name
from lightervisor.templates.renderer import Renderer

UNDO = "drop snapshot that was being taken"


class SnapshotTaking:
    """Takes snapshots of all instances."""

    def __init__(
        self,
        snapshots: SnapshotRows,
        catalog: Catalog,
        memory: Stateful,
        volumes: InstanceVolumes,
        renderer: Renderer,
        acts: SnapshotActs,
    ) -> None:
        self._snapshots, self._catalog, self._memory, self._boot = snapshots, catalog, memory, memory.boot
        self._volumes, self._renderer, self._acts = volumes, renderer, acts
        self._being_taken: set[SnapshotPlace] = set()

    async def create(
        self,
        project: str,
        instance: str,
        post: InstanceSnapshotsPost,
        requestor: EventLifecycleRequestor | None = None,
        *,
        is_lock_held: bool = False,
        scheduled: bool = False,
    ) -> Operation:
        """Start taking a snapshot, of a running instance while it is held still for a moment.

        Who holds the instance's lock already says so, and waits for the operation. What is `scheduled` may be
        thinned out.

        Raises NotFound, Invalid for a bad name or pattern, Unsupported for a stateful one that cannot be.
        """
        row = self._catalog.row(project, instance)
        if post.stateful:
            await self._check_stateful(row)
        config = self._catalog.expand(row).config
        moment = now()
        if post.expires_at is not None:
            ends = in_utc(post.expires_at)
        else:
            ends = expiry.after(moment, config.get("snapshots.expiry", "")) or ZERO_TIME
        if post.name:
            snapshot_names.check(post.name)
        place = SnapshotPlace(project, instance, post.name or await self._next_name(row, config, moment))
        self._being_taken.add(place)

        async def work(run: Run) -> None:
            try:
                await self.take(run, place, ends, scheduled=scheduled, stateful=post.stateful)
            finally:
                self._being_taken.discard(place)
            self._acts.publish("created", place, requestor)

        return self._acts.start("Snapshotting instance", work, place, is_lock_held=is_lock_held)

    async def _check_stateful(self, row: InstanceRow) -> None:
        text = "Unable to create a stateful snapshot"
        if self._boot.containers.init_pid(self._boot.container_name(row.project, row.name)) is None:
            raise Invalid("snapshot", row.name, text=f"{text}. The instance isn't running")
        await self._memory.check(row, text)

    async def _next_name(self, row: InstanceRow, config: Mapping[str, str], moment: datetime) -> str:
        known = {one.name for one in self._snapshots.of(row.project, row.name)}
        known |= {one.name for one in self._being_taken if one[:2] == (row.project, row.name)}
        name = await next_name(self._renderer, config, moment, known, owner=row.name)
        snapshot_names.check(name)
        return name

    async def take(
        self, run: Run, place: SnapshotPlace, ends: datetime, *, scheduled: bool = False, stateful: bool = False
    ) -> None:
        """Take a snapshot inside an operation that holds the instance's lock. Raises Conflict for a taken name."""
        project, instance, name = place
        row = self._catalog.row(project, instance)
        if self._snapshots.find(*place) is not None:
            raise taken(instance, name)
        await self._boot.cleaned_up(project, instance)
        pool = self._volumes.pool_of(self._catalog.expand(row).devices)
        self._volumes.check_new_snapshot(pool, place)
        snapshot = SnapshotRow(
            project=project,
            instance=instance,
            name=name,
            architecture=row.architecture,
            created_at=now(),
            last_used_at=ZERO_TIME,
            expires_at=ends,
            ephemeral=row.ephemeral,
            description=row.description,
            config=row.config,
            devices=row.devices,
            profiles=row.profiles,
            scheduled=scheduled,
            stateful=stateful,
        )
        still = still_of(self._boot, self._catalog, project, instance)
        arguments = {
            **arguments_of(place, pool),
            "created_at": snapshot.created_at.isoformat(),
            "held": "yes" if still else "",
        }
        if stateful:
            await self._take_statefully(run, pool, place, snapshot, arguments)
        else:
            await run.step(lambda: self._take(pool, place, snapshot, still), undo=UNDO, arguments=arguments)
        await self._acts.describe(place)

    async def _take_statefully(
        self, run: Run, pool: str, place: SnapshotPlace, snapshot: SnapshotRow, arguments: Mapping[str, str]
    ) -> None:
        """Its files are kept while nothing in it moves, since its memory was written down."""

        async def held() -> bool:
            await self._volumes.create_snapshot(pool, place, None)
            await self._memory.give(self._catalog.row(place.project, place.instance), pool, place)
            await self._snapshots.add(snapshot)
            return False

        row = self._catalog.row(place.project, place.instance)
        keep = self._memory.keep
        await run.step(lambda: keep(run, row, held=held), undo=UNDO, arguments=arguments)

    async def _take(self, pool: str, place: SnapshotPlace, snapshot: SnapshotRow, still: Still | None) -> None:
        await self._volumes.create_snapshot(pool, place, still)
        await self._snapshots.add(snapshot)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Drop what there is of a snapshot whose taking did not end, and let its instance go on; may be called twice.

        Nothing happens when another one has its name by now: this may be tried again after a failure.
        """
        place = place_of(arguments)
        if arguments["held"]:
            with suppress(Failure):  # it has ended meanwhile
                await let_go(self._boot, self._catalog, place.project, place.instance)
        if (row := self._snapshots.find(*place)) is not None:
            if row.created_at.isoformat() != arguments["created_at"]:
                return
            await self._snapshots.delete(*place)
        with suppress(NotFound):
            await self._volumes.delete_snapshot(arguments["pool"], place)
