"""What is known of an instance, as backup.yaml in its pool and index.yaml in its backups tell it. Source: LXD 5.0.2."""

from collections.abc import Container, Sequence

from lightervisor.config.merge import Expanded, expand
from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.db.instances import InstanceRow
from lightervisor.db.networks import NetworkRows
from lightervisor.db.profiles import ProfileRow, ProfileRows
from lightervisor.model.backup_file import BackupConfig, BackupNetwork
from lightervisor.model.instance import Instance, InstanceSnapshot
from lightervisor.model.profile import Profile
from lightervisor.model.storage_volume import StorageVolume, StorageVolumeSnapshot
from lightervisor.storage.layout import DESCRIPTION
from lightervisor.storage.pools import Pools

STOPPED, STOPPED_CODE = "Stopped", 102
FILE = DESCRIPTION


class Descriptions:
    """Describes instances with their snapshots, profiles and pool."""

    def __init__(self, pools: Pools, snapshots: SnapshotRows, profiles: ProfileRows, networks: NetworkRows) -> None:
        self._pools, self._snapshots, self._profiles, self._networks = pools, snapshots, profiles, networks

    def of(self, row: InstanceRow, pool: str, *, only: Container[str] | None = None) -> BackupConfig:
        """Everything about an instance, as if it were at rest; `only` some snapshots, or all. Raises NotFound."""
        snapshots = self._snapshots.of(row.project, row.name)
        if only is not None:
            snapshots = [one for one in snapshots if one.name in only]
        profiles = self._known(row.project, row.profiles)
        return BackupConfig(
            container=_instance(row, profiles),
            snapshots=[snapshot_view(one, self._known(row.project, one.profiles)) for one in snapshots],
            pool=self._pools.described(pool),
            profiles=[
                Profile(name=one.name, description=one.description, config=one.config, devices=one.devices)
                for one in profiles
            ],
            volume=StorageVolume(name=row.name, type="container", project=row.project, created_at=row.created_at),
            volume_snapshots=[
                StorageVolumeSnapshot(name=one.name, created_at=one.created_at, expires_at=one.expires_at)
                for one in snapshots
            ],
            networks=self._joined(expand(profiles, row.config, row.devices)),
        )

    def _joined(self, expanded: Expanded) -> list[BackupNetwork]:
        """The managed networks that cards are in."""
        wanted = [one.get("network", "") for one in expanded.devices.values() if one.get("type") == "nic"]
        known = [found for name in dict.fromkeys(wanted) if (found := self._networks.find(name)) is not None]
        return [
            BackupNetwork(name=one.name, type=one.type, description=one.description, config=one.config) for one in known
        ]

    def _known(self, project: str, names: Sequence[str]) -> list[ProfileRow]:
        return [found for name in names if (found := self._profiles.find(project, name)) is not None]


def _instance(row: InstanceRow, profiles: Sequence[ProfileRow]) -> Instance:
    expanded = expand(profiles, row.config, row.devices)
    return Instance(
        architecture=row.architecture,
        config=row.config,
        devices=row.devices,
        ephemeral=row.ephemeral,
        profiles=row.profiles,
        stateful=row.stateful,
        description=row.description,
        created_at=row.created_at,
        expanded_config=expanded.config,
        expanded_devices=expanded.devices,
        name=row.name,
        status=STOPPED,
        status_code=STOPPED_CODE,
        last_used_at=row.last_used_at,
        location="none",
        type="container",
        project=row.project,
    )


def snapshot_view(row: SnapshotRow, profiles: Sequence[ProfileRow]) -> InstanceSnapshot:
    """A snapshot as the API shows it, without its size."""
    expanded = expand(profiles, row.config, row.devices)
    return InstanceSnapshot(
        architecture=row.architecture,
        config=row.config,
        created_at=row.created_at,
        devices=row.devices,
        ephemeral=row.ephemeral,
        expanded_config=expanded.config,
        expanded_devices=expanded.devices,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        name=row.name,
        profiles=row.profiles,
        stateful=row.stateful,
    )
