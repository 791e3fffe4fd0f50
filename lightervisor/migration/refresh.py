"""Making an instance what one on another server is now. Source: LXD, source migration with `refresh`.

Only what changed travels: snapshots that are lacking or were taken anew, and of files what differs. Each snapshot is
there whole or not, the files of the instance change in one moment, and what the source no longer has goes last; so a
refresh that is interrupted leaves what it was or what it is to be, and the next one goes on, within files when it was a
connection that was cut (`leftovers.py`). Its configuration is the client's to change.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from lightervisor.config.names import volume_name
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Failure
from lightervisor.instances.boot import Boot
from lightervisor.instances.checks import check_has_no_memory
from lightervisor.instances.snapshot_acts import SnapshotActs
from lightervisor.instances.snapshot_arrivals import SnapshotArrivals
from lightervisor.instances.sockets import Sockets
from lightervisor.instances.templates import PENDING
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace, busy
from lightervisor.migration.frames import Control
from lightervisor.migration.intake import Coming, Intake, agree
from lightervisor.migration.leftovers import Leftovers
from lightervisor.migration.protobuf import LARGEST
from lightervisor.migration.talk import Talk
from lightervisor.model.instance import InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run
from lightervisor.storage.driver import Snapshot, Volume

BASE, IDENTITY = "volatile.base_image", "volatile.uuid"


class Records(NamedTuple):
    """What is stored about instances."""

    instances: InstanceRows
    snapshots: SnapshotRows


class Comings(NamedTuple):
    """Where what comes is put: snapshots that are whole, and what is cut."""

    snapshots: SnapshotArrivals
    leftovers: Leftovers


class Refreshing:
    """Refreshes instances from other servers."""

    def __init__(
        self,
        records: Records,
        boot: Boot,
        volumes: InstanceVolumes,
        acts: SnapshotActs,
        comings: Comings,
        operations: Operations,
    ) -> None:
        self._rows, self._snapshot_rows = records
        self._boot, self._volumes = boot, volumes
        self._acts, self._operations = acts, operations
        self._arrivals, self._leftovers = comings

    def is_there(self, project: str, name: str) -> bool:
        """Whether there is an instance to be refreshed."""
        return self._rows.exists(project, name)

    def refresh(
        self,
        project: str,
        name: str,
        post: InstancesPost,
        connect: Callable[[], AbstractAsyncContextManager[Talk]],
        sockets: Sockets | None,
    ) -> Operation:
        """Start refreshing an instance; what cannot be is told by the operation."""

        async def work(run: Run) -> None:
            async with connect() as talk:
                with self._operations.locks.busy(instance_lock(project, name), busy(name, "refresh")):
                    await self._refresh(run, talk, project, name, post)
                await run.commit()
                await talk.control.tell(Control(success=True))

        return self._operations.start(
            "Creating instance",
            work,
            project=project,
            resources={kind: [f"/1.0/{kind}/{name}"] for kind in ("instances", "containers")},
            locks=[instance_lock(project, name)],
            cancellable=True,
            sockets=sockets.names if sockets else (),
            secrets_below="",
            connect=sockets.connect if sockets else None,
            longest_control=LARGEST,
        )

    async def _refresh(self, run: Run, talk: Talk, project: str, name: str, post: InstancesPost) -> None:
        if self._boot.status(project, name) != "Stopped":
            raise Failure("instance", name, text="Cannot refresh a running instance", remedy=f"lxc stop {name}")
        check_has_no_memory(name, [self._rows.get(project, name)])
        self._volumes.check_unread(project, name)
        await self._boot.cleaned_up(project, name)
        row = self._rows.get(project, name)
        has = [] if _is_alone(post) else self._snapshot_rows.of(project, name)
        pool = self._acts.pool(project, name)
        driver = self._volumes.driver(pool)
        coming = await agree(talk, row, driver, self._arrivals.check, has, is_refresh=True)
        intake = Intake(run, talk, coming, driver)
        volume = Volume("containers", volume_name(project, name))
        like: Volume | Snapshot = volume
        async with self._leftovers.place(project, name, pool) as place:
            parts = place.parts  # are of what was cut, so of the first that comes now
            for one in coming.snapshots:
                await self._add(run, intake, one, pool, [*parts, like], place.volume)
                like, parts = Snapshot(volume, one.name), []
            await self._volumes.unmount(pool, project, name)
            await intake.take(volume, [*parts, like], name, keeps=place.volume)
        await self._drop(run, coming, has)
        await self._rows.merge_config(project, name, noted(row, post))
        await self._volumes.write_description(self._rows.get(project, name), pool)
        await self._volumes.keep(pool)  # the other server may delete what it has

    async def _add(
        self,
        run: Run,
        intake: Intake,
        one: SnapshotRow,
        pool: str,
        alike: Sequence[Volume | Snapshot],
        keeps: Volume,
    ) -> None:
        """Receive a snapshot. One of the same name was taken at another time, so it is another one, and goes."""

        async def receive(place: SnapshotPlace) -> None:
            snapshot = Snapshot(Volume("containers", volume_name(one.project, one.instance)), place.name)
            await intake.take(snapshot, alike, f"{one.instance}/{one.name}", of=one, keeps=keeps)

        await self._arrivals.add(run, pool, one, receive)
        await run.commit()

    async def _drop(self, run: Run, coming: Coming, has: list[SnapshotRow]) -> None:
        """Delete the snapshots that the source no longer has."""
        offered = {one.name for one in coming.offered}
        await self._arrivals.remove(run, [one for one in has if one.name not in offered])


def noted(row: InstanceRow, post: InstancesPost) -> dict[str, str | None]:
    """What a refresh changes of the configuration.

    Templates for copies are due in what is another one than the source; what has the source's own identity is being
    moved, file by file, and no template may write over what its guest wrote.
    """
    changes: dict[str, str | None] = {}
    if post.config.get(IDENTITY, "") != row.config.get(IDENTITY):
        changes[PENDING] = row.config.get(PENDING, "copy")
    if post.source.base_image:
        changes[BASE] = post.source.base_image
    return changes


def _is_alone(post: InstancesPost) -> bool:
    return post.source.instance_only or post.source.container_only
