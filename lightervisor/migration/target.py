"""The side that gets the instance. Source: LXD, POST /1.0/instances with a source of type migration.

It is brought into the world as any new one is, its files being what the other server's rsync says: first those of each
snapshot, the oldest first, then its own. Only when all is stored for good the other server is told that it has arrived,
so that who moves it may delete it there. One that is there already can be refreshed. Compared with LXD 5.0.2.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import msgspec

from lightervisor.client.https import Outgoing
from lightervisor.config import architectures
from lightervisor.config.merge import expand
from lightervisor.config.names import volume_name
from lightervisor.config.volatile_keys import of_no_host
from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Invalid
from lightervisor.images.store import Images
from lightervisor.instances import cloud_init
from lightervisor.instances.births import BirthActs, Births, Plan, volatile_at_birth
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.copy_sources import in_its_pool
from lightervisor.instances.sockets import Sockets
from lightervisor.instances.stateful import Stateful
from lightervisor.instances.templates import PENDING
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel.threads import in_thread
from lightervisor.migration.frames import Control
from lightervisor.migration.intake import Intake, agree
from lightervisor.migration.leftovers import Leftovers
from lightervisor.migration.live import bring_back
from lightervisor.migration.protobuf import LARGEST
from lightervisor.migration.refresh import Refreshing
from lightervisor.migration.talk import CONNECT_S, CONTROL, FS, MEMORY, Talk, There, awaited, dialled
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstanceSource, InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import EPOCH, now
from lightervisor.operations.operations import Run
from lightervisor.storage.driver import Volume

_IDENTITY = ("volatile.uuid", cloud_init.IDENTITY)


class Bases:
    """The images that instances of other servers came from, where they are here: only what differs has to travel.

    `memory` brings back what comes with its memory.
    """

    def __init__(self, images: Images, volumes: InstanceVolumes, memory: Stateful) -> None:
        self._images, self.volumes, self.memory = images, volumes, memory

    async def of(self, plan: Plan) -> str | None:
        """The image, unpacked in the instance's pool."""
        fingerprint = plan.row.config.get("volatile.base_image", "")
        if not fingerprint or not self._images.rows.has(fingerprint):
            return None
        await self._images.ensure_unpacked(fingerprint, self.volumes.driver(plan.pool), lambda _: None)
        return fingerprint


class Ways(NamedTuple):
    """How what arrives comes into a pool: upon an image, upon what arrived before, or upon what is there."""

    bases: Bases
    leftovers: Leftovers
    refreshing: Refreshing


class Receiving:
    """Receives instances from other servers."""

    def __init__(
        self,
        births: Births,
        acts: BirthActs,
        catalog: Catalog,
        ways: Ways,
        outgoing: Outgoing,
    ) -> None:
        self._births, self._acts, self._catalog = births, acts, catalog
        self._bases, self._leftovers, self._refreshing = ways
        self._volumes, self._memory, self._outgoing = ways.bases.volumes, ways.bases.memory, outgoing

    def receive(self, project: str, post: InstancesPost, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Check a request and start receiving.

        Raises Invalid, NotFound, Unsupported for what can be refused at once; the rest is in the operation.
        """
        source = post.source
        if source.mode not in ("pull", "push"):
            raise Invalid("source", text=f"Mode '{source.mode}' not implemented")
        names = (CONTROL, FS, MEMORY) if source.live else (CONTROL, FS)
        sockets = Sockets(names, connect_s=CONNECT_S, longest_control=LARGEST) if source.mode == "push" else None
        name = self._births.name(project, post)
        if source.refresh and self._refreshing.is_there(project, name):
            return self._refreshing.refresh(project, name, post, lambda: self._connected(sockets, source), sockets)
        plan = self._births.plan(arrived_row(project, name, post))

        async def work(run: Run) -> None:
            async with self._connected(sockets, source) as talk:
                is_live = await self._bring(run, talk, plan)
                await self._volumes.keep(plan.pool)  # the other server deletes what it has
                if is_live:
                    await bring_back(run, talk, self._memory, plan.row)
                    return
                await run.commit()
                await talk.control.tell(Control(success=True))

        return self._acts.start(plan, work, requestor, sockets=sockets)

    def _connected(self, sockets: Sockets | None, source: InstanceSource) -> AbstractAsyncContextManager[Talk]:
        if sockets is not None:
            return awaited(sockets)
        there = There(operation=source.operation, certificate=source.certificate, secrets=source.secrets)
        return dialled(self._outgoing, there)

    async def _bring(self, run: Run, talk: Talk, plan: Plan) -> bool:
        """Receive snapshot after snapshot, and the instance as it is now, into one volume, which then is its own.

        Returns whether its memory came too; what it ran with is not kept for another attempt.
        """
        project, name, pool = plan.row.project, plan.row.name, plan.pool
        async with self._leftovers.place(project, name, pool) as place:
            has = None if place.is_new else place.snapshots
            coming = await agree(talk, plan.row, place.driver, self._births.check_snapshots, has)
            await place.drop_others(list(coming.offered))
            if place.is_new and not coming.is_streamed and (base := await self._bases.of(plan)) is not None:
                await in_thread(place.driver.create_volume, place.volume, base)
            intake = Intake(run, talk, coming, place.driver)

            async def make() -> None:
                if coming.is_streamed:
                    await intake.take_streams(place.volume, name)
                    await place.settle(Volume("containers", volume_name(project, name)))
                    return
                for one in coming.snapshots:
                    await intake.take(place.volume, place.parts, f"{name}/{one.name}", of=one, keeps=place.volume)
                    await place.keep(one)
                keeps = None if coming.is_live else place.volume
                await intake.take(place.volume, place.parts, name, keeps=keeps)
                await place.settle(Volume("containers", volume_name(project, name)))

            await self._births.bring(run, plan, make, lambda _: self._placed(coming.offered, plan))
            return coming.is_live

    def _placed(self, snapshots: Sequence[SnapshotRow], plan: Plan) -> list[SnapshotRow]:
        """The snapshots, whose root disks are in the instance's pool."""
        found: list[SnapshotRow] = []
        for row in snapshots:
            expanded = expand(self._catalog.known_profiles(row.project, row.profiles), row.config, row.devices)
            found.append(
                msgspec.structs.replace(row, devices=in_its_pool(row.devices, expanded.devices, plan.expanded.devices))
            )
        return found


def arrived_row(project: str, name: str, post: InstancesPost) -> InstanceRow:
    """The record. What brings its identity along is moved; what does not is a copy, which gets another one."""
    config = of_no_host(post.config)
    if post.source.base_image:
        config["volatile.base_image"] = post.source.base_image
    born = volatile_at_birth("copy")
    if all(key in config for key in _IDENTITY):
        del born[PENDING]
    return InstanceRow(
        project=project,
        name=name,
        architecture=architectures.name_of(post.architecture) if post.architecture else architectures.own(),
        created_at=now(),
        last_used_at=EPOCH,
        ephemeral=post.ephemeral,
        description=post.description,
        config={**born, **config},
        devices=post.devices,
        profiles=["default"] if post.profiles is None else post.profiles,
    )
