"""The services of backups, made of one another."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lightervisor.backups.adopt import Adoption
from lightervisor.backups.backups import Backups
from lightervisor.backups.contents import Contents
from lightervisor.backups.expiry import BackupExpiry
from lightervisor.backups.packer import Packer
from lightervisor.backups.recover import Known, Recovery
from lightervisor.backups.restore import Restoring
from lightervisor.backups.volume_backups import VolumeBackups
from lightervisor.backups.volume_restore import VolumeRestoring
from lightervisor.daemon.volume_wiring import Stored
from lightervisor.db.instance_backups import BackupRows
from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.db.volume_backups import VolumeBackupRows
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

    stored: Stored
    volume_backups: VolumeBackupRows
    known: Known


class Saved(NamedTuple):
    """The services of backups, and what reads whole instances for them and for publishing."""

    backups: Backups
    restoring: Restoring
    recovery: Recovery
    volume_backups: VolumeBackups
    volume_restoring: VolumeRestoring
    expiry: BackupExpiry
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
    still = StillRoots(catalog, boot, volumes, guest_roots, locks)
    snapshot_roots = SnapshotRoots(snapshots, catalog, volumes, locks)
    roots = MomentRoots(catalog, boot, volumes, still, locks)
    contents = Contents(roots, snapshot_roots, snapshots, descriptions, volumes.driver)
    packer = Packer(contents, roots, directory / ".incoming")
    stored = lost.stored
    volume_backups = VolumeBackups(lost.volume_backups, stored.acts, operations, directory, settings)
    stored.acts.precede_end(volume_backups.forget)
    backups = Backups(rows, catalog, packer, operations, events, settings)
    return Saved(
        backups=backups,
        expiry=BackupExpiry(operations, [backups.ended, volume_backups.ended]),
        restoring=Restoring(adoption, volumes, operations, events, packer.directory),
        recovery=Recovery(lost.stored.pools, lost.stored.volumes, adoption, lost.known, operations),
        roots=roots,
        still_roots=still,
        snapshot_roots=snapshot_roots,
        volume_backups=volume_backups,
        volume_restoring=VolumeRestoring(stored.acts, stored.volumes, packer.directory),
    )
