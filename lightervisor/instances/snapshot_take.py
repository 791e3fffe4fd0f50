"""Taking snapshots of instances. Source: LXD, POST /1.0/instances/<name>/snapshots."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import NoReturn

from lightervisor.config import expiry
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows, taken
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, Invalid, NotFound, Unsupported
from lightervisor.instances import snapshot_names
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.snapshot_acts import SnapshotActs, arguments_of, place_of
from lightervisor.instances.still import still_of
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
        boot: Boot,
        volumes: InstanceVolumes,
        renderer: Renderer,
        acts: SnapshotActs,
    ) -> None:
        self._snapshots, self._catalog, self._boot = snapshots, catalog, boot
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

        Raises NotFound, Invalid for a bad name or pattern, Unsupported for a stateful one.
        """
        row = self._catalog.row(project, instance)
        if post.stateful:
            self._refuse_stateful(project, instance)
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
                await self.take(run, place, ends, scheduled=scheduled)
            finally:
                self._being_taken.discard(place)
            self._acts.publish("created", place, requestor)

        return self._acts.start("Snapshotting instance", work, place, is_lock_held=is_lock_held)

    def _refuse_stateful(self, project: str, instance: str) -> NoReturn:
        text = "Unable to create a stateful snapshot. "
        if self._boot.containers.init_pid(self._boot.container_name(project, instance)) is None:
            raise Invalid("snapshot", instance, text=text + "The instance isn't running")
        text += "What its processes have in memory cannot be kept yet"
        raise Unsupported("snapshot", instance, text=text, remedy="leave out --stateful: its files are kept")

    async def _next_name(self, row: InstanceRow, config: Mapping[str, str], moment: datetime) -> str:
        known = {one.name for one in self._snapshots.of(row.project, row.name)}
        known |= {one.name for one in self._being_taken if one[:2] == (row.project, row.name)}
        name = await next_name(self._renderer, config, moment, known, owner=row.name)
        snapshot_names.check(name)
        return name

    async def take(self, run: Run, place: SnapshotPlace, ends: datetime, *, scheduled: bool = False) -> None:
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
        )
        still = still_of(self._boot, self._catalog, project, instance)
        arguments = {
            **arguments_of(place, pool),
            "created_at": snapshot.created_at.isoformat(),
            "held": "yes" if still else "",
        }
        await run.step(lambda: self._take(pool, place, snapshot, still), undo=UNDO, arguments=arguments)
        await self._acts.describe(place)

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
                await self._boot.containers.unfreeze(self._boot.container_name(place.project, place.instance))
        if (row := self._snapshots.find(*place)) is not None:
            if row.created_at.isoformat() != arguments["created_at"]:
                return
            await self._snapshots.delete(*place)
        with suppress(NotFound):
            await self._volumes.delete_snapshot(arguments["pool"], place)
