"""Making a copy what its source is now. Source: LXD, POST /1.0/instances, source copy with `refresh`.

Only what changed is copied: snapshots that the copy lacks come, those that the source has not go, and the root file
system is made the same. The copy is whole at every moment: its files change in one, and snapshots go last. Its
configuration is the client's to change.
"""

from collections.abc import Sequence

from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.instances import InstanceRows
from lightervisor.errors import Failure, Invalid
from lightervisor.instances.boot import Boot
from lightervisor.instances.checks import check_has_no_memory
from lightervisor.instances.copy_sources import LET_GO, Source, Sources
from lightervisor.instances.snapshot_acts import SnapshotActs
from lightervisor.instances.snapshot_arrivals import SnapshotArrivals
from lightervisor.instances.templates import PENDING
from lightervisor.instances.volume_copies import Origin, Target
from lightervisor.instances.volumes import SnapshotPlace, busy
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstanceSource
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run
from lightervisor.storage.driver import Still
from lightervisor.storage.watched import shown

BASE = "volatile.base_image"


class Refreshing:
    """Refreshes all copies."""

    def __init__(
        self,
        rows: InstanceRows,
        sources: Sources,
        boot: Boot,
        acts: SnapshotActs,
        arrivals: SnapshotArrivals,
        operations: Operations,
    ) -> None:
        self._rows, self._sources, self._boot = rows, sources, boot
        self._acts, self._arrivals, self._operations = acts, arrivals, operations

    def is_there(self, project: str, name: str) -> bool:
        """Whether there is a copy to be refreshed."""
        return self._rows.exists(project, name)

    def refresh(
        self,
        project: str,
        name: str,
        source: Source,
        wanted: InstanceSource,
        requestor: EventLifecycleRequestor | None = None,
    ) -> Operation:
        """Start refreshing an instance. Raises Invalid when it is its own source; the rest is in the operation."""
        if source.instance == name:
            raise Invalid("instance", name, cause="it cannot be refreshed from itself", remedy="name another source")

        async def work(run: Run) -> None:
            if self._boot.status(project, name) != "Stopped":
                text = "Failed getting exclusive access to instance: Instance is running"
                raise Failure("instance", name, text=text, remedy=f"lxc stop {name}")
            check_has_no_memory(name, [self._rows.get(project, name)])
            self._sources.copies.volumes.check_unread(project, name)
            await self._boot.cleaned_up(project, name)
            origin, still = await self._sources.ready(project, source)
            kept = self._sources.kept(project, source, wanted)
            with self._operations.locks.busy(instance_lock(project, name), busy(name, "refresh")):
                async with self._sources.read_in_place(run, origin, kept, still):
                    await self._carry_out(run, name, source, wanted, (origin, still))
            await self._note(project, name, source)
            self._acts.publish_refreshed(project, name, requestor)

        paths = [name, wanted.source]
        return self._operations.start(
            "Creating instance",
            work,
            project=project,
            resources={kind: [f"/1.0/{kind}/{path}" for path in paths] for kind in ("instances", "containers")},
            locks=[instance_lock(project, name), instance_lock(project, source.instance)],
            cancellable=True,
        )

    async def _carry_out(
        self, run: Run, name: str, source: Source, wanted: InstanceSource, ready: tuple[Origin, Still | None]
    ) -> None:
        origin, still = ready
        project, surplus = origin.project, list[SnapshotRow]()
        target = Target(self._sources.pool(project, name), project, name)
        if not (source.snapshot or wanted.instance_only or wanted.container_only):
            surplus = await self._add_snapshots(run, origin, target, self._sources.kept(project, source, wanted))

        async def replace() -> None:
            await self._sources.copies.replace(origin, target, still, shown(run))

        if still is None:
            await replace()
        else:
            await run.step(replace, undo=LET_GO, arguments={"project": project, "name": source.instance})
        await self._arrivals.remove(run, surplus)

    async def _add_snapshots(
        self, run: Run, origin: Origin, target: Target, wanted: Sequence[SnapshotRow]
    ) -> list[SnapshotRow]:
        """Copy those that the target lacks; what is left to be removed. One that was taken anew is another one."""
        row = self._rows.get(target.project, target.instance)
        expanded = self._sources.catalog.expand(row)
        has = {one.name: one for one in self._sources.snapshots.of(target.project, target.instance)}
        names = {one.name for one in wanted}
        for one in wanted:
            if one.name in has and has[one.name].created_at == one.created_at:
                continue

            async def copy(place: SnapshotPlace, name: str = one.name) -> None:
                await self._sources.copies.copy_snapshot(origin, name, target, place.name, shown(run))

            await self._arrivals.add(run, target.pool, self._sources.adopted(one, row, expanded), copy)
        return [one for one in has.values() if one.name not in names]

    async def _note(self, project: str, name: str, source: Source) -> None:
        """The files are a copy's again: templates are due, and they came from what the source's came from."""
        row = self._rows.get(project, name)
        changes: dict[str, str | None] = {BASE: source.row.config.get(BASE)}
        if PENDING not in row.config:
            changes[PENDING] = "copy"
        await self._rows.merge_config(project, name, changes)
        changed = self._rows.get(project, name)
        await self._sources.copies.volumes.write_description(changed, self._sources.pool(project, name))
