"""What is known of an instance, as backup.yaml in its pool and index.yaml in its backups tell it. Source: LXD 5.0.2."""

from collections.abc import Container, Sequence

from lightervisor.config.merge import Expanded, expand
from lightervisor.db.instance_snapshots import SnapshotRows
from lightervisor.db.instances import InstanceRow
from lightervisor.db.networks import NetworkRows
from lightervisor.db.profiles import ProfileRow, ProfileRows
from lightervisor.instances.views import instance_view, profile_view, snapshot_view
from lightervisor.model.backup_file import BackupConfig, BackupNetwork
from lightervisor.model.storage_volume import StorageVolume, StorageVolumeSnapshot
from lightervisor.storage.layout import DESCRIPTION
from lightervisor.storage.pools import Pools

STOPPED = "Stopped"
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
        expanded = expand(profiles, row.config, row.devices)
        return BackupConfig(
            container=instance_view(row, expanded, STOPPED),
            snapshots=[snapshot_view(one, self._known(row.project, one.profiles)) for one in snapshots],
            pool=self._pools.described(pool),
            profiles=[profile_view(one) for one in profiles],
            volume=StorageVolume(name=row.name, type="container", project=row.project, created_at=row.created_at),
            volume_snapshots=[
                StorageVolumeSnapshot(name=one.name, created_at=one.created_at, expires_at=one.expires_at)
                for one in snapshots
            ],
            networks=self._joined(expanded),
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
