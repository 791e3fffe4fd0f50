"""Rows of instances, snapshots and profiles as the API, backup.yaml and index.yaml show them."""

from collections.abc import Sequence

from lightervisor.config.merge import Expanded, expand
from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.instances import InstanceRow
from lightervisor.db.profiles import ProfileRow
from lightervisor.model.instance import Instance, InstanceSnapshot
from lightervisor.model.profile import Profile

STATUS_CODES = {
    "Started": 101, "Stopped": 102, "Running": 103, "Starting": 106, "Stopping": 107, "Aborting": 108,
    "Freezing": 109, "Frozen": 110, "Thawed": 111, "Error": 112, "Ready": 113,
}  # fmt: skip


def instance_view(row: InstanceRow, expanded: Expanded, status: str) -> Instance:
    """An instance, merged with its profiles, in a state."""
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
        status=status,
        status_code=STATUS_CODES.get(status, 112),
        last_used_at=row.last_used_at,
        location="none",
        type="container",
        project=row.project,
    )


def profile_view(row: ProfileRow) -> Profile:
    """A profile, its users not counted."""
    return Profile(name=row.name, description=row.description, config=row.config, devices=row.devices)


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
