"""Copying instances and snapshots to new instances on this server. Source: LXD, POST /1.0/instances, source copy.

The copy is another machine: it gets an identity, addresses and ids of its own. What its source has under `volatile.`
stays there, but what its files came from. Texts compared with LXD 5.0.2.
"""

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from lightervisor.config.merge import Devices, expand, root_device
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, Invalid, NotFound
from lightervisor.instances import cloud_init
from lightervisor.instances.births import BirthActs, Births, Plan, volatile_at_birth
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.still import still_of
from lightervisor.instances.volume_copies import Target, VolumeCopies
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstanceSource, InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import EPOCH, now
from lightervisor.operations.operations import Run

LET_GO = "let go of instance that was being copied"
KEPT = ("volatile.base_image", "volatile.last_state.idmap")
IDENTITY = ("volatile.uuid", cloud_init.IDENTITY)
PROGRESS = "fs_progress"


class Copying:
    """Copies instances."""

    def __init__(
        self,
        births: Births,
        acts: BirthActs,
        snapshots: SnapshotRows,
        catalog: Catalog,
        boot: Boot,
        copies: VolumeCopies,
    ) -> None:
        self._births, self._acts = births, acts
        self._snapshots, self._catalog, self._boot, self._copies = snapshots, catalog, boot, copies

    def copy(self, project: str, post: InstancesPost, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Check a request and start copying.

        Raises Invalid, NotFound or Unsupported for what can be refused at once; the rest is in the operation.
        """
        name = self._births.name(project, post)
        instance, source = self._source(project, post.source)
        plan = self._births.plan(_row(project, name, post, source))
        if post.stateful and instance != name:
            text = f'Copying stateful instances requires that source "{instance}" and target "{name}" name be identical'
            raise Invalid("instance", name, text=text)

        async def work(run: Run) -> None:
            is_alone = isinstance(source, SnapshotRow) or post.source.instance_only or post.source.container_only
            kept = [] if is_alone else self._snapshots.of(project, instance)
            await self._births.bring(
                run,
                plan,
                lambda: self._make(run, plan, instance, post.source, kept),
                lambda row: [self._adopted(one, row, plan) for one in kept],
            )

        return self._acts.start(plan, work, requestor, source=post.source.source)

    def _source(self, project: str, source: InstanceSource) -> tuple[str, InstanceRow | SnapshotRow]:
        """The instance that is copied, or whose snapshot is, and what is stored about what is copied."""
        if not source.source:
            raise Invalid("source", text="Must specify a source instance")
        if source.project not in ("", project):
            raise NotFound("project", source.project)
        instance, separator, snapshot = source.source.partition("/")
        if separator:
            self._catalog.row(project, instance)
            return instance, self._snapshots.get(project, instance, snapshot)
        return instance, self._catalog.row(project, instance)

    def _adopted(self, snapshot: SnapshotRow, row: InstanceRow, plan: Plan) -> SnapshotRow:
        """A snapshot of the source as one of the copy: with its dates, and what tells the copy from its source.

        LXD keeps the source's addresses and identity there, which a restore would bring back.
        """
        layers = self._catalog.known_profiles(snapshot.project, snapshot.profiles)
        expanded = expand(layers, snapshot.config, snapshot.devices)
        own = {key: row.config[key] for key in snapshot.config if _is_identity(key) and key in row.config}
        return msgspec.structs.replace(
            snapshot,
            instance=row.name,
            config={key: value for key, value in snapshot.config.items() if not _is_identity(key)} | own,
            devices=moved_to_pool(snapshot.devices, expanded.devices, plan),
        )

    async def _make(self, run: Run, plan: Plan, instance: str, source: InstanceSource, kept: list[SnapshotRow]) -> None:
        project = plan.row.project
        await self._boot.cleaned_up(project, instance)
        devices = self._catalog.expand(self._catalog.row(project, instance)).devices
        origin = self._copies.origin(project, source.source, devices)
        still = None
        if not origin.snapshot and not source.allow_inconsistent:
            still = still_of(self._boot, self._catalog, project, instance)
        names = [one.name for one in kept]

        async def copy() -> None:
            target = Target(plan.pool, project, plan.row.name)
            await self._copies.copy(origin, target, names, still, lambda text: run.progress(PROGRESS, text))

        if still is None:
            await copy()
        else:
            await run.step(copy, undo=LET_GO, arguments={"project": project, "name": instance})

    async def let_go(self, arguments: Mapping[str, str]) -> None:
        """Undo that a source is held still; it may have ended meanwhile."""
        with suppress(Failure):
            await self._boot.containers.unfreeze(self._boot.container_name(arguments["project"], arguments["name"]))


def moved_to_pool(own: Devices, expanded: Devices, plan: Plan) -> dict[str, dict[str, str]]:
    """A snapshot's own devices in a copy, whose root disk may be in another pool. Source: LXD, instanceCreateAsCopy."""
    devices = {name: dict(device) for name, device in own.items()}
    found = root_device(expanded)
    if found is not None and found[1].get("pool") == plan.pool:
        return devices
    if found is not None and found[0] in devices:
        devices[found[0]]["pool"] = plan.pool
        return devices
    root = root_device(plan.expanded.devices)
    devices[root[0] if root else "root"] = {"type": "disk", "path": "/", "pool": plan.pool}
    return devices


def _is_identity(key: str) -> bool:
    return key in IDENTITY or (key.startswith("volatile.") and key.endswith(".hwaddr"))


def _row(project: str, name: str, post: InstancesPost, source: InstanceRow | SnapshotRow) -> InstanceRow:
    """The record of the copy: what the request says, else what its source has."""
    inherited = {key: value for key, value in source.config.items() if not key.startswith("volatile.") or key in KEPT}
    return InstanceRow(
        project=project,
        name=name,
        architecture=source.architecture,
        created_at=now(),
        last_used_at=EPOCH,
        ephemeral=post.ephemeral,
        description=post.description,
        config={**volatile_at_birth("copy"), **inherited, **post.config},
        devices={**source.devices, **post.devices},
        profiles=source.profiles if post.profiles is None else post.profiles,
    )
