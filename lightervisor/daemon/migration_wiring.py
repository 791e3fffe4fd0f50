"""The services that send and receive instances, made of one another."""

from typing import NamedTuple

from lightervisor.client.https import Outgoing
from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.db.instances import InstanceRows
from lightervisor.images.store import Images
from lightervisor.instances.births import BirthActs, Births
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.moment_roots import MomentRoots
from lightervisor.instances.snapshot_acts import SnapshotActs
from lightervisor.instances.snapshot_arrivals import SnapshotArrivals
from lightervisor.instances.snapshot_roots import SnapshotRoots
from lightervisor.instances.snapshots import Snapshots
from lightervisor.instances.stateful import Stateful
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.migration.leftovers import Leftovers
from lightervisor.migration.live import LiveSending
from lightervisor.migration.refresh import Comings, Records, Refreshing
from lightervisor.migration.roots import SentRoots
from lightervisor.migration.source import Sending
from lightervisor.migration.target import Bases, Receiving, Ways
from lightervisor.operations.journal import Journal
from lightervisor.operations.operations import Operations


class Stock(NamedTuple):
    """What they need of instances."""

    instances: InstanceRows
    rows: SnapshotRows
    snapshots: Snapshots
    acts: SnapshotActs
    arrivals: SnapshotArrivals
    catalog: Catalog
    boot: Boot
    volumes: InstanceVolumes
    moments: MomentRoots
    images: Images
    memory: Stateful


class Migration(NamedTuple):
    """What moves instances between servers."""

    sending: Sending
    receiving: Receiving


def together(
    stock: Stock, births: Births, acts: BirthActs, outgoing: Outgoing, operations: Operations, journal: Journal
) -> Migration:
    """All of them; the journal gets the action behind the name that they note."""
    snapshots = SnapshotRoots(stock.rows, stock.catalog, stock.volumes, operations.locks)
    sent = SentRoots(stock.catalog, stock.boot, stock.volumes, stock.moments, snapshots)
    live = LiveSending(sent, stock.memory, operations.locks)
    leftovers = Leftovers(stock.volumes, journal)
    refreshing = Refreshing(
        Records(stock.instances, stock.rows),
        stock.boot,
        stock.volumes,
        stock.acts,
        Comings(stock.arrivals, leftovers),
        operations,
    )
    bases = Bases(stock.images, stock.volumes, stock.memory)
    ways = Ways(bases, leftovers, refreshing)
    return Migration(
        sending=Sending(stock.catalog, stock.rows, stock.snapshots, live, outgoing, operations),
        receiving=Receiving(births, acts, stock.catalog, ways, outgoing),
    )
