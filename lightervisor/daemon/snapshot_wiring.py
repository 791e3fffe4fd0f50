"""The services of snapshots, made of one another."""

from typing import NamedTuple

from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.snapshot_restore import SnapshotRestoring
from lightervisor.instances.snapshot_schedule import SnapshotSchedule
from lightervisor.instances.snapshot_take import SnapshotTaking
from lightervisor.instances.snapshots import Snapshots
from lightervisor.operations.operations import Operations


class Kept(NamedTuple):
    """The services of snapshots."""

    snapshots: Snapshots
    taking: SnapshotTaking
    restoring: SnapshotRestoring
    schedule: SnapshotSchedule


def together(
    rows: SnapshotRows,
    catalog: Catalog,
    operations: Operations,
    snapshots: Snapshots,
    taking: SnapshotTaking,
    restoring: SnapshotRestoring,
) -> Kept:
    """All of them, with what takes and deletes by itself."""
    schedule = SnapshotSchedule(rows, catalog, taking, snapshots, operations)
    return Kept(snapshots=snapshots, taking=taking, restoring=restoring, schedule=schedule)
