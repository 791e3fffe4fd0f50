"""The rows that a description stands for: of a custom volume and its snapshots, on this server and under this name."""

from datetime import UTC, datetime

import msgspec

from lightervisor.config.names import VolumePlace
from lightervisor.db.storage_volumes import VolumeRow
from lightervisor.db.volume_snapshots import VolumeSnapshotRow
from lightervisor.errors import Invalid
from lightervisor.model.backup_file import BackupConfig
from lightervisor.model.storage_volume import StorageVolumeSnapshot, StorageVolumesPost
from lightervisor.model.times import now
from lightervisor.storage.volume_rules import check_config, known_config
from lightervisor.storage.volumes import Volumes


def volume_row(volumes: Volumes, place: VolumePlace, config: BackupConfig, *, is_here: bool = False) -> VolumeRow:
    """The row of a volume; one that `is_here` already gets nothing from its pool. Raises Invalid, NotFound."""
    told = config.volume
    if told is None:
        raise Invalid("backup", cause="it says nothing of the volume")
    known = known_config(told.config)
    post = StorageVolumesPost(
        name=place.name, config=known, description=told.description, content_type=told.content_type
    )
    row = volumes.planned(place.pool, place.project, post)
    created_at = _moment(told.created_at)
    return msgspec.structs.replace(row, created_at=created_at, config=known if is_here else row.config)


def snapshot_rows(place: VolumePlace, config: BackupConfig) -> list[VolumeSnapshotRow]:
    """The rows of a volume's snapshots, the oldest first. Raises Invalid for what cannot be their configuration."""
    return [_snapshot_row(place, one) for one in sorted(config.volume_snapshots, key=lambda one: one.created_at)]


def _snapshot_row(place: VolumePlace, told: StorageVolumeSnapshot) -> VolumeSnapshotRow:
    config = known_config(told.config)
    check_config(place.project, f"{place.name}/{told.name}", config)
    return VolumeSnapshotRow(
        volume=place,
        name=told.name,
        created_at=_moment(told.created_at),
        description=told.description,
        config=config,
        expires_at=told.expires_at.astimezone(UTC) if told.expires_at.year > 1 else told.expires_at,
    )


def _moment(told: datetime) -> datetime:
    """A time that was told, now where none was: LXD 5.0 knows none of volumes."""
    return told.astimezone(UTC) if told.year > 1 else now()
