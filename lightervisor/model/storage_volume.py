"""Wire structs of storage volumes. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from lightervisor.model.times import EPOCH, ZERO_TIME


class StorageVolumePut(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumePut. With `restore` the rest holds for the restored volume, if there is a `config`."""

    config: dict[str, str] | UnsetType = UNSET
    description: str = ""
    restore: str = ""

    @property
    def keys(self) -> dict[str, str]:
        """What `config` has, nothing without one."""
        return {} if self.config is UNSET else self.config


class StorageVolumeSource(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeSource."""

    name: str = ""
    type: str = ""
    pool: str = ""
    certificate: str = ""
    mode: str = ""
    operation: str = ""
    secrets: dict[str, str] = {}
    volume_only: bool = False
    refresh: bool = False
    project: str = ""


class StorageVolumesPost(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumesPost."""

    config: dict[str, str] = {}
    description: str = ""
    name: str = ""
    type: str = ""
    source: StorageVolumeSource = StorageVolumeSource()
    content_type: str = ""


class StorageVolumePostTarget(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumePostTarget: another server's operation, which this one is to dial."""

    certificate: str = ""
    operation: str = ""
    secrets: dict[str, str] = {}


class StorageVolumePost(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumePost."""

    name: str = ""
    pool: str = ""
    migration: bool = False
    target: StorageVolumePostTarget | None = None
    volume_only: bool = False
    project: str = ""


class StorageVolume(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolume."""

    config: dict[str, str] = {}
    description: str = ""
    name: str = ""
    type: str = ""
    used_by: list[str] = []
    location: str = "none"
    content_type: str = "filesystem"
    project: str = "default"
    created_at: datetime = EPOCH


class StorageVolumeSnapshot(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeSnapshot."""

    description: str = ""
    expires_at: datetime = ZERO_TIME
    name: str = ""
    config: dict[str, str] = {}
    content_type: str = "filesystem"
    created_at: datetime = ZERO_TIME


class StorageVolumeSnapshotsPost(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeSnapshotsPost."""

    name: str = ""
    expires_at: datetime | None = None


class StorageVolumeSnapshotPost(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeSnapshotPost."""

    name: str = ""


class StorageVolumeSnapshotPut(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeSnapshotPut."""

    description: str = ""
    expires_at: datetime | None = None


class StorageVolumeStateUsage(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeStateUsage, in bytes; a total of 0 is no limit."""

    used: int = 0
    total: int = 0


class StorageVolumeState(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeState."""

    usage: StorageVolumeStateUsage
