"""Wire structs of backup. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import Struct

from lightervisor.model.times import ZERO_TIME


class InstanceBackupsPost(Struct, frozen=True, kw_only=True):
    """LXD's InstanceBackupsPost."""

    name: str = ""
    expires_at: datetime = ZERO_TIME
    instance_only: bool = False
    container_only: bool = False
    optimized_storage: bool = False
    compression_algorithm: str = ""


class InstanceBackup(Struct, frozen=True, kw_only=True):
    """LXD's InstanceBackup."""

    name: str = ""
    created_at: datetime = ZERO_TIME
    expires_at: datetime = ZERO_TIME
    instance_only: bool = False
    container_only: bool = False
    optimized_storage: bool = False


class InstanceBackupPost(Struct, frozen=True, kw_only=True):
    """LXD's InstanceBackupPost."""

    name: str = ""


class StorageVolumeBackupsPost(Struct, frozen=True, kw_only=True):
    """LXD's StoragePoolVolumeBackupsPost."""

    name: str = ""
    expires_at: datetime = ZERO_TIME
    volume_only: bool = False
    optimized_storage: bool = False
    compression_algorithm: str = ""


class StorageVolumeBackup(Struct, frozen=True, kw_only=True):
    """LXD's StoragePoolVolumeBackup."""

    name: str = ""
    created_at: datetime = ZERO_TIME
    expires_at: datetime = ZERO_TIME
    volume_only: bool = False
    optimized_storage: bool = False
