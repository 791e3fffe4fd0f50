"""What an instance's backup.yaml and a backup's index.yaml say. Source: LXD 5.0.2, what it writes there."""

from msgspec import Struct

from lightervisor.model.instance import Instance, InstanceSnapshot
from lightervisor.model.profile import Profile
from lightervisor.model.storage_pool import StoragePool
from lightervisor.model.storage_volume import StorageVolume, StorageVolumeSnapshot


class BackupNetwork(Struct, frozen=True, kw_only=True):
    """A managed network that an instance is in; LXD writes none, and does not mind."""

    name: str
    type: str = "bridge"
    description: str = ""
    config: dict[str, str] = {}


class BackupConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All there is to know of an instance (or of a custom volume, which has only the volume), and of its pool."""

    container: Instance | None = None
    snapshots: list[InstanceSnapshot] = []
    pool: StoragePool | None = None
    profiles: list[Profile] = []
    volume: StorageVolume | None = None
    volume_snapshots: list[StorageVolumeSnapshot] = []
    networks: list[BackupNetwork] = []


class BackupIndex(Struct, frozen=True, kw_only=True):
    """The first file in a backup: what else is in it. `type` is container, virtual-machine or custom."""

    name: str = ""
    backend: str = ""
    pool: str = ""
    snapshots: list[str] = []
    optimized: bool = False
    optimized_header: bool = False
    type: str = ""
    config: BackupConfig | None = None
