"""Wire structs of volume. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType, field

from lightervisor.model.times import ZERO_TIME


class StorageVolumePut(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumePut."""

    config: dict[str, str] = {}
    description: str = ""
    restore: str | UnsetType = UNSET


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


class StorageVolumesPost(StorageVolumePut, frozen=True, kw_only=True):
    """LXD's StorageVolumesPost."""

    name: str = ""
    type: str = ""
    source: StorageVolumeSource = field(default_factory=StorageVolumeSource)
    content_type: str = ""


class StorageVolumePostTarget(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumePostTarget."""

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


class StorageVolume(StorageVolumePut, frozen=True, kw_only=True):
    """LXD's StorageVolume."""

    name: str = ""
    type: str = ""
    used_by: list[str] = []
    location: str = ""
    content_type: str = ""
    project: str = ""
    created_at: datetime = ZERO_TIME


class StorageVolumeStateUsage(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeStateUsage."""

    used: int | UnsetType = UNSET
    total: int = 0


class StorageVolumeState(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeState."""

    usage: StorageVolumeStateUsage | None = None
