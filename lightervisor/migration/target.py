"""The side that gets the instance. Source: LXD, POST /1.0/instances with a source of type migration.

It is brought into the world as any new one is, its files being what the other server's rsync says: first those of each
snapshot, the oldest first, each kept as soon as it is there, then its own. Only when all is stored for good the other
server is told that it has arrived, so that who moves it may delete it there. Compared with LXD 5.0.2.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import msgspec

from lightervisor.client.https import Outgoing
from lightervisor.config import architectures
from lightervisor.config.merge import expand
from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, Invalid, Unsupported
from lightervisor.images.partial import Gauge
from lightervisor.images.store import Images
from lightervisor.instances import cloud_init
from lightervisor.instances.births import BirthActs, Births, Plan, volatile_at_birth
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.copy_sources import in_its_pool
from lightervisor.instances.sockets import Sockets
from lightervisor.instances.templates import PENDING
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel.idmap import IdMap
from lightervisor.migration import descriptions
from lightervisor.migration.arrival import Arrival
from lightervisor.migration.frames import Control, FilesBy, Header, MemoryBy, RsyncFeatures
from lightervisor.migration.rsync import ALL, OLD
from lightervisor.migration.talk import CONNECT_S, CONTROL, FS, MEMORY, Talk, There, awaited, dialled
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.instance import InstanceSource, InstancesPost
from lightervisor.model.operation import Operation
from lightervisor.model.times import EPOCH, now
from lightervisor.operations.operations import Run

PROGRESS = "fs_progress"
_IDENTITY = ("volatile.uuid", cloud_init.IDENTITY)
_NOT_OURS = ("volatile.last_state.", "volatile.idmap.")


class Coming(NamedTuple):
    """What the two servers agreed on."""

    snapshots: Sequence[SnapshotRow]
    features: RsyncFeatures
    idmap: IdMap | None
    passes: int


class Receiving:
    """Receives instances from other servers."""

    def __init__(
        self,
        births: Births,
        acts: BirthActs,
        catalog: Catalog,
        images: Images,
        volumes: InstanceVolumes,
        outgoing: Outgoing,
    ) -> None:
        self._births, self._acts, self._catalog = births, acts, catalog
        self._images, self._volumes, self._outgoing = images, volumes, outgoing

    def receive(self, project: str, post: InstancesPost, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Check a request and start receiving.

        Raises Invalid, NotFound, Unsupported for what can be refused at once; the rest is in the operation.
        """
        source = post.source
        if source.mode not in ("pull", "push"):
            raise Invalid("source", text=f"Mode '{source.mode}' not implemented")
        if source.secrets.get(MEMORY):
            remedy = "stop it, or add --stateless: its files are received as they are at this moment"
            raise Unsupported("migration", cause="what processes have in memory cannot be received yet", remedy=remedy)
        plan = self._births.plan(_row(project, self._births.name(project, post), post))
        sockets = Sockets((CONTROL, FS), connect_s=CONNECT_S) if source.mode == "push" else None

        async def work(run: Run) -> None:
            async with self._connected(sockets, source) as talk:
                await self._bring(run, talk, plan)
                await run.commit()
                await talk.control.tell(Control(success=True))

        return self._acts.start(plan, work, requestor, sockets=sockets)

    def _connected(self, sockets: Sockets | None, source: InstanceSource) -> AbstractAsyncContextManager[Talk]:
        if sockets is not None:
            return awaited(sockets)
        there = There(operation=source.operation, certificate=source.certificate, secrets=source.secrets)
        return dialled(self._outgoing, there)

    async def _bring(self, run: Run, talk: Talk, plan: Plan) -> None:
        coming = await self._agree(talk, plan, await talk.control.message(Header))
        if talk.index_version:
            await talk.unless_ended(talk.fs.text())
            await talk.fs.send_text(msgspec.json.encode(descriptions.IndexAnswer(refresh=False)))
        base, name = await self._base(plan), plan.row.name
        arrival = Arrival(self._volumes, plan, coming.features, coming.idmap)

        async def make() -> None:
            await self._volumes.create(plan.pool, plan.row.project, name, base)
            async with arrival.opened():
                for snapshot in coming.snapshots:
                    await self._fill(run, talk, arrival, f"{name}/{snapshot.name}", 1)
                    await arrival.keep(snapshot.name)
                await self._fill(run, talk, arrival, name, coming.passes)

        await self._births.bring(run, plan, make, lambda _: coming.snapshots)

    async def _agree(self, talk: Talk, plan: Plan, offer: Header) -> Coming:
        """Answer an offer. Raises Invalid for what cannot be, Unsupported."""
        if offer.memory_by not in (None, MemoryBy.NOTHING):
            raise Unsupported("migration", cause="what processes have in memory cannot be received yet")
        if offer.rsync is None and offer.files_by != FilesBy.RSYNC:
            raise Failure("migration", text="No matching migration types found")
        project, name = plan.row.project, plan.row.name
        offered = offer.snapshots
        if len(offered) != len(offer.snapshot_names):
            raise Invalid("migration", cause="the other server names other snapshots than it describes")
        rows = [descriptions.kept(one, project, name, plan.row.architecture) for one in offered]
        if len({row.name for row in rows}) != len(rows):
            raise Invalid("migration", cause="the other server offers a snapshot twice")
        rows = [msgspec.structs.replace(row, devices=self._devices(row, plan)) for row in rows]
        idmap = descriptions.idmap(offer.idmap)
        said = offer.rsync or OLD
        features = _common(said, ALL) if said.bidirectional else OLD
        answer = Header(
            files_by=FilesBy.RSYNC,
            memory_by=offer.memory_by,
            snapshot_names=offer.snapshot_names,
            snapshots=offer.snapshots,
            predump=False,
            rsync=features,
            refresh=False,
            index_version=min(offer.index_version or 0, descriptions.INDEX_VERSION),
        )
        talk.agreed(answer.index_version)
        await talk.control.tell(answer)
        return Coming(rows, features, idmap, 2 if offer.memory_by == MemoryBy.NOTHING else 1)

    def _devices(self, row: SnapshotRow, plan: Plan) -> dict[str, dict[str, str]]:
        expanded = expand(self._catalog.known_profiles(row.project, row.profiles), row.config, row.devices)
        return in_its_pool(row.devices, expanded.devices, plan.expanded.devices)

    async def _base(self, plan: Plan) -> str | None:
        """The image that the files came from, when it is here: then only what differs has to travel."""
        fingerprint = plan.row.config.get("volatile.base_image", "")
        if not fingerprint or not self._images.rows.has(fingerprint):
            return None
        await self._images.ensure_unpacked(fingerprint, self._volumes.driver(plan.pool), lambda _: None)
        return fingerprint

    async def _fill(self, run: Run, talk: Talk, arrival: Arrival, label: str, passes: int) -> None:
        gauge = Gauge(label, 0, lambda text: run.progress(PROGRESS, text))
        for _ in range(passes):
            async with arrival.filling() as rsync:
                await talk.unless_ended(talk.fs.carry(rsync, gauge.add))
        await arrival.settle()


def _common(one: RsyncFeatures, other: RsyncFeatures) -> RsyncFeatures:
    return RsyncFeatures(
        **{name: getattr(one, name) and getattr(other, name) for name in RsyncFeatures.__struct_fields__}
    )


def _row(project: str, name: str, post: InstancesPost) -> InstanceRow:
    """The record. What brings its identity along is moved; what does not is a copy, which gets another one."""
    config = {key: value for key, value in post.config.items() if not key.startswith(_NOT_OURS)}
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
