"""Wire structs of storage volumes. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import Struct

from lightervisor.model.times import EPOCH


class StorageVolumePut(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumePut."""

    config: dict[str, str] = {}
    description: str = ""
    restore: str = ""


class StorageVolumeSource(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeSource, as far as it is looked at."""

    name: str = ""
    type: str = ""
    pool: str = ""


class StorageVolumesPost(StorageVolumePut, frozen=True, kw_only=True):
    """LXD's StorageVolumesPost."""

    name: str = ""
    type: str = ""
    source: StorageVolumeSource = StorageVolumeSource()
    content_type: str = ""


class StorageVolumePost(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumePost, as far as it is looked at."""

    name: str = ""
    pool: str = ""
    migration: bool = False
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


class StorageVolumeStateUsage(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeStateUsage, in bytes; a total of 0 is no limit."""

    used: int = 0
    total: int = 0


class StorageVolumeState(Struct, frozen=True, kw_only=True):
    """LXD's StorageVolumeState."""

    usage: StorageVolumeStateUsage
