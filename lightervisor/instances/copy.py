"""Copying instances and snapshots to new instances on this server. Source: LXD, POST /1.0/instances, source copy.

The copy is another machine: it gets an identity, addresses and ids of its own. What its source has under `volatile.`
stays there, but what its files came from. Texts compared with LXD 5.0.2.
"""

from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Invalid
from lightervisor.instances.births import BirthActs, Births, Plan, volatile_at_birth
from lightervisor.instances.copy_sources import LET_GO, Source, Sources, inherited
from lightervisor.instances.refresh import Refreshing
from lightervisor.instances.volume_copies import Target
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import EPOCH, now
from lightervisor.operations.operations import Run
from lightervisor.storage.watched import shown


class Copying:
    """Copies instances."""

    def __init__(self, births: Births, acts: BirthActs, sources: Sources, refreshing: Refreshing) -> None:
        self._births, self._acts, self._sources, self._refreshing = births, acts, sources, refreshing

    def copy(self, project: str, post: InstancesPost, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Check a request and start copying, or refreshing a copy that is there.

        Raises Invalid, NotFound or Unsupported for what can be refused at once; the rest is in the operation.
        """
        name = self._births.name(project, post)
        source = self._sources.find(project, post.source)
        if post.stateful and source.instance != name:
            text = (
                f'Copying stateful instances requires that source "{source.instance}" and target "{name}" name'
                " be identical"
            )
            raise Invalid("instance", name, text=text)
        if post.source.refresh and self._refreshing.is_there(project, name):
            return self._refreshing.refresh(project, name, source, post.source, requestor)
        plan = self._births.plan(_row(project, name, post, source.row))

        async def work(run: Run) -> None:
            kept = self._sources.kept(project, source, post.source)
            await self._births.bring(
                run,
                plan,
                lambda: self._make(run, plan, source, kept),
                lambda row: [self._sources.adopted(one, row, plan.expanded) for one in kept],
            )

        return self._acts.start(plan, work, requestor, source=post.source.source)

    async def _make(self, run: Run, plan: Plan, source: Source, kept: list[SnapshotRow]) -> None:
        project, names = plan.row.project, [one.name for one in kept]
        target = Target(plan.pool, project, plan.row.name)
        async with self._sources.opened(run, project, source, kept, plan.pool) as (origin, still):

            async def copy() -> None:
                await self._sources.copies.copy(origin, target, names, still, shown(run))

            if still is None:
                await copy()
            else:
                await run.step(copy, undo=LET_GO, arguments={"project": project, "name": source.instance})


def _row(project: str, name: str, post: InstancesPost, source: InstanceRow | SnapshotRow) -> InstanceRow:
    """The record of the copy: what the request says, else what its source has."""
    return InstanceRow(
        project=project,
        name=name,
        architecture=source.architecture,
        created_at=now(),
        last_used_at=EPOCH,
        ephemeral=post.ephemeral,
        description=post.description,
        config={**volatile_at_birth("copy"), **inherited(source, post.config)},
        devices={**source.devices, **post.devices},
        profiles=source.profiles if post.profiles is None else post.profiles,
    )
