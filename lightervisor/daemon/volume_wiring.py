"""The services of custom volumes, made of one another."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lightervisor.db.database import Database
from lightervisor.db.storage_pools import PoolRows
from lightervisor.db.storage_volumes import VolumeRows
from lightervisor.db.volume_snapshots import VolumeSnapshotRows
from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.still import let_go as let_instance_go
from lightervisor.instances.still import still_of
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.operations.journal import Journal
from lightervisor.operations.operations import Operations
from lightervisor.storage import volume_acts, volume_arrivals, volume_snapshots
from lightervisor.storage.driver import Still
from lightervisor.storage.pools import Pools
from lightervisor.storage.users import PoolUsers
from lightervisor.storage.volume_acts import Guests, Kept, VolumeActs
from lightervisor.storage.volume_arrivals import VolumeArrivals
from lightervisor.storage.volume_copying import VolumeCopying
from lightervisor.storage.volume_moving import VolumeMoving
from lightervisor.storage.volume_schedule import VolumeSchedule
from lightervisor.storage.volume_snapshots import VolumeSnapshots
from lightervisor.storage.volumes import Volumes
from lightervisor.templates.renderer import Renderer


class Stored(NamedTuple):
    """Pools, and the services of the volumes in them."""

    acts: VolumeActs
    pools: Pools
    volumes: Volumes
    snapshots: VolumeSnapshots
    arrivals: VolumeArrivals
    copying: VolumeCopying
    moving: VolumeMoving
    schedule: VolumeSchedule


class Machinery(NamedTuple):
    """What they run on."""

    operations: Operations
    events: Events
    journal: Journal
    renderer: Renderer


def together(database: Database, directory: Path, users: PoolUsers, guests: Guests, machinery: Machinery) -> Stored:
    """All of them; the journal gets the actions behind the names that they note. `directory` has the pools."""
    operations, events, journal, renderer = machinery
    pools = Pools(PoolRows(database), directory, events, users.used_by)
    acts = VolumeActs(
        Kept(VolumeRows(database), VolumeSnapshotRows(database)), pools, users, guests, operations, events
    )
    snapshots = VolumeSnapshots(acts, renderer)
    arrivals = VolumeArrivals(acts, snapshots)
    journal.register(volume_arrivals.DROP_BESIDE, arrivals.drop)
    journal.register(volume_arrivals.FINISH, arrivals.finish)
    journal.register(volume_acts.LET_GO, acts.let_go)
    journal.register(volume_snapshots.DROP, snapshots.drop)
    journal.register(volume_snapshots.RENAME_BACK, snapshots.rename_back)
    journal.register(volume_snapshots.FINISH_DELETE, snapshots.finish)
    volumes = Volumes(acts)
    return Stored(
        acts=acts,
        pools=pools,
        volumes=volumes,
        snapshots=snapshots,
        arrivals=arrivals,
        copying=VolumeCopying(acts, volumes, snapshots, arrivals),
        moving=VolumeMoving(acts, volumes),
        schedule=VolumeSchedule(acts, snapshots, operations),
    )


class Instances(NamedTuple):
    """What is known of instances, once it is made: they need volumes before."""

    boot: Boot
    catalog: Catalog
    volumes: InstanceVolumes


def guests(instances: Callable[[], Instances]) -> Guests:
    """What volumes ask of the instances that show them."""

    def status(project: str, name: str) -> str:
        return instances().boot.status(project, name)

    def still(project: str, name: str) -> Still | None:
        return still_of(instances().boot, instances().catalog, project, name)

    async def let_go(project: str, name: str) -> None:
        await let_instance_go(instances().boot, instances().catalog, project, name)

    async def describe(project: str, name: str) -> None:
        _, catalog, volumes = instances()
        row = catalog.row(project, name)
        await volumes.write_description(row, volumes.pool_of(catalog.expand(row).devices))

    return Guests(status, still, let_go, describe)
