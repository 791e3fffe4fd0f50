"""What every new instance has around it, whatever its files are made of: its checks, its record, its undo.

    plan = births.plan(row)                             # refuses what can be refused at once
    return acts.start(plan, work, requestor)            # an operation with the instance's lock
    row = await births.bring(run, plan, make, kept)     # in `work`; `make` makes the volume, then it is recorded

Whether its files are an image's, another instance's or come from another server is for whoever brings it to know.
"""

import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import msgspec

from lightervisor.config import architectures, names
from lightervisor.config.merge import Expanded, expand, without_empty
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Conflict, Failure, Invalid, NotFound, Unsupported
from lightervisor.events.stream import Events
from lightervisor.instances import cloud_init, petnames
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.checks import InstanceChecks
from lightervisor.instances.sockets import Sockets
from lightervisor.instances.templates import PENDING
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import LONGEST_CONTROL, Operations, Run

_BAD_CONFIG = "Invalid config: "
Kept = Callable[[InstanceRow], Sequence[SnapshotRow]]
UNDO = "drop instance that was being created"


class Plan(NamedTuple):
    """An instance that may be brought into the world: its record, merged with its profiles, and its pool."""

    row: InstanceRow
    expanded: Expanded
    pool: str


class BirthActs:
    """Starts the operations by which instances come into the world, and tells of them."""

    def __init__(self, operations: Operations, events: Events) -> None:
        self._operations, self._events = operations, events

    def start(
        self,
        plan: Plan,
        work: Callable[[Run], Awaitable[None]],
        requestor: EventLifecycleRequestor | None,
        *,
        source: str = "",
        sockets: Sockets | None = None,
    ) -> Operation:
        """Start bringing an instance; `source` is one, or a snapshot, of the same project, which is locked as well.

        `sockets` are those by which its files come, when another server opens them.
        """
        name, project = plan.row.name, plan.row.project
        paths = [name, source] if source else [name]

        async def told(run: Run) -> None:
            await work(run)
            self.publish(plan, requestor)

        return self._operations.start(
            "Creating instance",
            told,
            project=project,
            resources={kind: [f"/1.0/{kind}/{path}" for path in paths] for kind in ("instances", "containers")},
            locks=[instance_lock(project, path.partition("/")[0]) for path in paths],
            cancellable=True,
            sockets=sockets.names if sockets else (),
            secrets_below="",
            connect=sockets.connect if sockets else None,
            longest_control=sockets.longest_control if sockets else LONGEST_CONTROL,
        )

    def publish(self, plan: Plan, requestor: EventLifecycleRequestor | None) -> None:
        """Tell listeners of the new instance."""
        context = {"type": "container", "location": "none", "storage-pool": plan.pool}
        self._events.happened("instance", "created", plan.row.name, plan.row.project, requestor, context)


class Births:
    """Brings instances into the world."""

    def __init__(
        self,
        rows: InstanceRows,
        snapshots: SnapshotRows,
        catalog: Catalog,
        checks: InstanceChecks,
        boot: Boot,
        volumes: InstanceVolumes,
    ) -> None:
        self._rows, self._snapshots, self._catalog = rows, snapshots, catalog
        self._checks, self._boot, self._volumes = checks, boot, volumes

    def name(self, project: str, post: InstancesPost) -> str:
        """The name that is asked for, or an invented one. Raises Invalid with LXD's texts, Unsupported."""
        name = post.name or petnames.invent(lambda name: self._rows.exists(project, name))
        names.check_instance(name)
        if post.type not in ("", "container", "virtual-machine"):
            raise Invalid("instance type", post.type, text="Invalid instance type")
        if post.type == "virtual-machine":
            raise Unsupported("instance", name, cause="virtual machines are not offered", remedy="leave out --vm")
        if post.instance_type:
            cause, remedy = "sizes by name are not offered", "-c limits.cpu=2 -c limits.memory=4GiB"
            raise Unsupported("instance type", post.instance_type, cause=cause, remedy=remedy)
        return name

    def plan(self, row: InstanceRow) -> Plan:
        """Check the record of a new instance. Raises Invalid, NotFound or Conflict with LXD's texts."""
        check_runnable(row.architecture)
        devices = {name: without_empty(device) for name, device in row.devices.items()}
        row = msgspec.structs.replace(row, config=without_empty(row.config), devices=devices)  # "" is to have none
        layers = self._catalog.profiles_named(row.project, row.profiles, for_new=True)
        expanded = expand(layers, row.config, row.devices)
        with _record_refused():
            self._checks.check_expanded(expanded.config, expanded.devices)
            pool = self._pool_of(expanded)
        return Plan(row, expanded, pool)

    def check_snapshots(self, snapshots: Sequence[SnapshotRow]) -> None:
        """Raise Invalid for snapshots from elsewhere that it cannot have."""
        self._checks.check_snapshots(snapshots)

    def _pool_of(self, expanded: Expanded) -> str:
        try:
            return self._volumes.pool_of(expanded.devices)
        except NotFound as error:
            text = f"Failed loading storage pool: {error.sentence()}"
            raise NotFound(error.kind, error.name, text=text, remedy="lxc storage list") from error

    async def bring(
        self, run: Run, plan: Plan, make: Callable[[], Awaitable[None]], snapshots: Kept | None = None
    ) -> InstanceRow:
        """Have its volume made and store it, with the snapshots that `make` made too; whole or not at all.

        `snapshots` says, given the instance as it is stored, what is stored about these. Raises Conflict
        with LXD's text when the name is taken, and what `make` raises.
        """
        row, expanded, pool = plan
        if self._rows.exists(row.project, row.name):
            raise Conflict(
                "instance",
                row.name,
                text="Failed creating instance record: Add instance info to the database: "
                'This "instances" entry already exists',
                remedy=f"choose another name, or delete it first: lxc delete {row.name}",
            )
        await self._boot.check_host(row, expanded)
        # An undo that is tried again at the next start must not find this one: a moved instance keeps its identity.
        if not await run.undo_left(UNDO, {"project": row.project, "name": row.name}):
            cause = "what is left of one of this name that was not created cannot be removed"
            raise Conflict("instance", row.name, cause=cause, remedy="lxd's log tells why; choose another name")
        self._volumes.check_new(pool, row.project, row.name)
        arguments = {
            "project": row.project,
            "name": row.name,
            "pool": pool,
            "uuid": row.config["volatile.uuid"],
            "created_at": row.created_at.isoformat(),
        }

        async def made() -> None:
            await make()
            await self._volumes.size_new(row.project, row.name, expanded.devices)

        await run.step(made, undo=UNDO, arguments=arguments)
        await self._boot.expect_start(row, pool)
        with self._boot.chosen(row, expanded) as chosen:
            row = msgspec.structs.replace(row, config={**row.config, **chosen})
            await self._rows.add(row)
        if snapshots is not None:
            await self._snapshots.add_all(snapshots(row))
        await self._boot.equip(row)
        await self._volumes.write_description(row, pool)
        return row

    async def record(self, plan: Plan, snapshots: Sequence[SnapshotRow]) -> None:
        """Store an instance that is there, with its snapshots, and may even run; nothing of it is changed.

        Raises Conflict with LXD's text when the name is taken.
        """
        row, expanded, pool = plan
        with self._boot.chosen(row, expanded) as chosen:
            row = msgspec.structs.replace(row, config={**row.config, **chosen})
            await self._rows.add(row)
        await self._snapshots.add_all(snapshots)
        await self._boot.equip(row)
        await self._boot.find(row)
        await self._volumes.write_description(self._rows.get(row.project, row.name), pool)

    async def unrecord(self, project: str, name: str) -> None:
        """Undo `record`, whose files stay where they are; may be called twice."""
        with suppress(NotFound):
            row = self._rows.get(project, name)
            if self._boot.status(project, name) == "Stopped":
                await self._boot.forget(row)
            await self._rows.delete(project, name)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Remove whatever there is of an instance whose creation did not end; may be called twice.

        Nothing happens when another one has its name by now: this may be tried again after a failure.
        """
        project, name, pool = arguments["project"], arguments["name"], arguments["pool"]
        with suppress(NotFound):
            row = self._rows.get(project, name)
            told = {"uuid": row.config.get("volatile.uuid"), "created_at": row.created_at.isoformat()}
            if any(arguments.get(key, value) != value for key, value in told.items()):
                return
            await self._boot.forget(row)
            await self._rows.delete(project, name)
        with suppress(NotFound):
            await self._volumes.delete(pool, project, name)


def volatile_at_birth(trigger: str) -> dict[str, str]:
    """What the daemon notes of a new instance; `trigger` is what its templates are due for: create or copy."""
    return {
        "volatile.uuid": str(uuid.uuid4()),
        cloud_init.IDENTITY: cloud_init.new_identity(),
        "volatile.last_state.idmap": "[]",
        PENDING: trigger,
    }


def check_runnable(architecture: str) -> None:
    """Raise Invalid with LXD's text unless this host runs programs of an architecture."""
    if architecture not in architectures.runnable():
        text = "Failed creating instance record: Requested architecture isn't supported by this host"
        remedy = f"it is {architecture}, this host runs {' and '.join(architectures.runnable())}"
        raise Invalid("architecture", architecture, text=text, remedy=remedy)


@contextmanager
def _record_refused() -> Generator[None, None, None]:
    """Say, as LXD does, what failed because of a bad key, device or pool."""
    try:
        yield
    except Failure as error:
        place, text = "Failed creating instance record: ", error.sentence()
        if text.startswith(_BAD_CONFIG):
            text = text.removeprefix(_BAD_CONFIG)
        else:
            place += "Failed initialising instance: "
        raise type(error)(error.kind, error.name, text=place + text, remedy=error.remedy) from error
