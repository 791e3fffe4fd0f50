"""Wire structs of instance. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType, field

from lightervisor.model.backup import InstanceBackup
from lightervisor.model.instance_state import InstanceState, InstanceStatePut
from lightervisor.model.times import ZERO_TIME


class InstancePut(Struct, frozen=True, kw_only=True):
    """LXD's InstancePut."""

    architecture: str = ""
    config: dict[str, str] = {}
    devices: dict[str, dict[str, str]] = {}
    ephemeral: bool = False
    profiles: list[str] | None = None
    restore: str | UnsetType = UNSET
    stateful: bool = False
    description: str = ""


class InstanceSource(Struct, frozen=True, kw_only=True):
    """LXD's InstanceSource."""

    type: str = ""
    certificate: str = ""
    alias: str = ""
    fingerprint: str = ""
    properties: dict[str, str] = {}
    server: str = ""
    secret: str = ""
    protocol: str = ""
    base_image: str = field(default="", name="base-image")
    mode: str = ""
    operation: str = ""
    secrets: dict[str, str] = {}
    source: str = ""
    live: bool = False
    instance_only: bool = False
    container_only: bool = False
    refresh: bool = False
    project: str = ""
    allow_inconsistent: bool = False


class InstancesPost(InstancePut, frozen=True, kw_only=True):
    """LXD's InstancesPost."""

    name: str = ""
    source: InstanceSource = field(default_factory=InstanceSource)
    instance_type: str = ""
    type: str = ""


class InstanceRebuildPost(Struct, frozen=True, kw_only=True):
    """LXD's InstanceRebuildPost."""

    source: InstanceSource = field(default_factory=InstanceSource)


class InstancesPut(Struct, frozen=True, kw_only=True):
    """LXD's InstancesPut."""

    state: InstanceStatePut | None = None


class InstancePostTarget(Struct, frozen=True, kw_only=True):
    """LXD's InstancePostTarget."""

    certificate: str = ""
    operation: str = ""
    secrets: dict[str, str] = {}


class InstancePost(Struct, frozen=True, kw_only=True):
    """LXD's InstancePost."""

    name: str = ""
    migration: bool = False
    live: bool = True
    instance_only: bool = False
    container_only: bool = False
    target: InstancePostTarget | None = None
    pool: str = ""
    project: str = ""
    allow_inconsistent: bool = False


class Instance(InstancePut, frozen=True, kw_only=True):
    """LXD's Instance."""

    created_at: datetime = ZERO_TIME
    expanded_config: dict[str, str] | UnsetType = UNSET
    expanded_devices: dict[str, dict[str, str]] | UnsetType = UNSET
    name: str = ""
    status: str = ""
    status_code: int = 0
    last_used_at: datetime = ZERO_TIME
    location: str = ""
    type: str = ""
    project: str = ""


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


class InstanceFull(Instance, frozen=True, kw_only=True):
    """LXD's InstanceFull."""

    backups: list[InstanceBackup] | None = None
    state: InstanceState | None = None
    snapshots: list[InstanceSnapshot] | None = None


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
