"""Wire structs of snapshot. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from lightervisor.model.instance import InstancePostTarget
from lightervisor.model.times import ZERO_TIME


class InstanceSnapshotsPost(Struct, frozen=True, kw_only=True):
    """LXD's InstanceSnapshotsPost."""

    name: str = ""
    stateful: bool = False
    expires_at: datetime | None = None


class InstanceSnapshotPost(Struct, frozen=True, kw_only=True):
    """LXD's InstanceSnapshotPost."""

    name: str = ""
    migration: bool = False
    target: InstancePostTarget | None = None
    live: bool = False


class InstanceSnapshotPut(Struct, frozen=True, kw_only=True):
    """LXD's InstanceSnapshotPut."""

    expires_at: datetime = ZERO_TIME


class InstanceSnapshot(InstanceSnapshotPut, frozen=True, kw_only=True):
    """LXD's InstanceSnapshot."""

    architecture: str = ""
    config: dict[str, str] = {}
    created_at: datetime = ZERO_TIME
    devices: dict[str, dict[str, str]] = {}
    ephemeral: bool = False
    expanded_config: dict[str, str] | UnsetType = UNSET
    expanded_devices: dict[str, dict[str, str]] | UnsetType = UNSET
    last_used_at: datetime = ZERO_TIME
    name: str = ""
    profiles: list[str] = []
    stateful: bool = False
    size: int = 0
