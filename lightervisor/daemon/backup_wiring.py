"""The services of backups, made of one another."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lightervisor.backups.adopt import Adoption
from lightervisor.backups.backups import Backups
from lightervisor.backups.contents import Contents
from lightervisor.backups.packer import Packer
from lightervisor.backups.recover import Known, Recovery
from lightervisor.backups.restore import Restoring
from lightervisor.db.instance_backups import BackupRows
from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.descriptions import Descriptions
from lightervisor.instances.guest_roots import GuestRoots
from lightervisor.instances.moment_roots import MomentRoots
from lightervisor.instances.snapshot_roots import SnapshotRoots
from lightervisor.instances.still_roots import StillRoots
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.operations.locks import Locks
from lightervisor.operations.operations import Operations
from lightervisor.storage.pools import Pools
from lightervisor.storage.volumes import Volumes


class Reading(NamedTuple):
    """What reading whole instances needs."""

    catalog: Catalog
    boot: Boot
    volumes: InstanceVolumes
    locks: Locks
    snapshots: SnapshotRows
    descriptions: Descriptions
    guest_roots: GuestRoots


class Lost(NamedTuple):
    """What recovering needs."""

    pools: Pools
    custom: Volumes
    known: Known


class Saved(NamedTuple):
    """The services of backups, and what reads whole instances for them and for publishing."""

    backups: Backups
    restoring: Restoring
    recovery: Recovery
    roots: MomentRoots
    still_roots: StillRoots
    snapshot_roots: SnapshotRoots


def together(
    reading: Reading,
    rows: BackupRows,
    adoption: Adoption,
    lost: Lost,
    operations: Operations,
    events: Events,
    directory: Path,
    settings: Callable[[str], str],
) -> Saved:
    """All of them; `directory` is $LXD_DIR/backups."""
    catalog, boot, volumes, locks, snapshots, descriptions, guest_roots = reading
    still = StillRoots(catalog, boot, volumes, guest_roots)
    snapshot_roots = SnapshotRoots(snapshots, catalog, volumes, locks)
    roots = MomentRoots(catalog, boot, volumes, still, locks)
    packer = Packer(Contents(roots, snapshot_roots, snapshots, descriptions), roots, directory / ".incoming")
    return Saved(
        backups=Backups(rows, catalog, packer, operations, events, settings),
        restoring=Restoring(adoption, volumes, operations, events, packer.directory),
        recovery=Recovery(lost.pools, lost.custom, adoption, lost.known, operations),
        roots=roots,
        still_roots=still,
        snapshot_roots=snapshot_roots,
    )
