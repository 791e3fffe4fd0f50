"""The services that bring instances into the world, and to other places in it, made of one another."""

from typing import NamedTuple

from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.db.instances import InstanceRows
from lightervisor.events.stream import Events
from lightervisor.instances.births import BirthActs, Births
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.checks import InstanceChecks
from lightervisor.instances.copy import Copying
from lightervisor.instances.copy_sources import Sources
from lightervisor.instances.create import Creation
from lightervisor.instances.image_choice import ImageChoice
from lightervisor.instances.moving import Moving
from lightervisor.instances.refresh import Refreshing
from lightervisor.instances.snapshot_acts import SnapshotActs
from lightervisor.instances.snapshot_arrivals import SnapshotArrivals
from lightervisor.instances.snapshots import Snapshots
from lightervisor.instances.volume_copies import VolumeCopies
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.operations.operations import Operations


class Born(NamedTuple):
    """The services."""

    births: Births
    sources: Sources
    arrivals: SnapshotArrivals
    creation: Creation
    copying: Copying
    moving: Moving


class Stock(NamedTuple):
    """What they all are made of."""

    rows: InstanceRows
    snapshots: SnapshotRows
    catalog: Catalog
    checks: InstanceChecks
    boot: Boot
    volumes: InstanceVolumes
    operations: Operations
    events: Events


def together(stock: Stock, choice: ImageChoice, snapshots: Snapshots, snapshot_acts: SnapshotActs) -> Born:
    """All of them."""
    rows, snapshot_rows, catalog, checks, boot, volumes, operations, events = stock
    births = Births(rows, snapshot_rows, catalog, checks, boot, volumes)
    acts = BirthActs(operations, events)
    sources = Sources(snapshot_rows, catalog, boot, VolumeCopies(volumes))
    arrivals = SnapshotArrivals(snapshot_rows, checks, volumes, snapshots)
    refreshing = Refreshing(rows, sources, boot, snapshot_acts, arrivals, operations)
    return Born(
        births=births,
        sources=sources,
        arrivals=arrivals,
        creation=Creation(births, acts, choice, volumes),
        copying=Copying(births, acts, sources, refreshing),
        moving=Moving(rows, sources, boot, operations, events),
    )
