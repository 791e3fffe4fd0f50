"""The rows that a description stands for: of an instance and its snapshots, on this server and under this name."""

import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from lightervisor.config import architectures
from lightervisor.config.merge import Devices, root_device
from lightervisor.config.volatile_keys import known, of_no_host
from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Invalid
from lightervisor.model.backup_file import BackupConfig
from lightervisor.model.instance import Instance, InstanceSnapshot
from lightervisor.model.times import EPOCH, now

IDENTITY, IDMAP, MAC = "volatile.uuid", "volatile.last_state.idmap", ".hwaddr"


class Place(Struct, frozen=True, kw_only=True):
    """Where an instance is to be: its project, its name, its pool, and devices that replace or change its own.

    `is_here` says that it is there already, on this very host.
    """

    project: str
    name: str
    pool: str
    devices: Mapping[str, Mapping[str, str]] = {}
    is_here: bool = False


def instance_row(told: Instance, place: Place, inherited: Devices, taken: Collection[str]) -> InstanceRow:
    """The row of an instance; `inherited` are its profiles' devices, `taken` identities and MACs that others have.

    Raises Invalid for an unknown architecture.
    """
    return InstanceRow(
        project=place.project,
        name=place.name,
        architecture=architectures.name_of(told.architecture),
        created_at=_moment(told.created_at),
        last_used_at=_moment(told.last_used_at, EPOCH),
        ephemeral=told.ephemeral,
        description=told.description,
        config=_config(told.config, taken, is_here=place.is_here),
        devices=_devices(told.devices, place, inherited),
        profiles=told.profiles or [],
    )


def snapshot_rows(
    config: BackupConfig, place: Place, inherited: Devices, owner: InstanceRow, taken: Collection[str]
) -> list[SnapshotRow]:
    """The rows of the snapshots of an instance, the oldest first; none has what another instance has."""
    return [
        SnapshotRow(
            project=place.project,
            instance=place.name,
            name=one.name,
            architecture=architectures.name_of(one.architecture),
            created_at=_moment(one.created_at),
            last_used_at=_moment(one.last_used_at, EPOCH),
            expires_at=one.expires_at.astimezone(UTC) if one.expires_at.year > 1 else one.expires_at,
            ephemeral=one.ephemeral,
            config={**_config(one.config, taken, is_here=place.is_here), IDENTITY: owner.config[IDENTITY]},
            devices=_devices(one.devices, place, inherited, overrides=False),
            profiles=one.profiles,
        )
        for one in sorted(config.snapshots, key=_age)
    ]


def _age(snapshot: InstanceSnapshot) -> datetime:
    return _moment(snapshot.created_at)


def _moment(told: datetime, otherwise: datetime | None = None) -> datetime:
    """A time that was told, in UTC; a year outside of what can be written is a mistake of who wrote it."""
    try:
        found = told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
    except OverflowError as error:
        raise Invalid("backup", cause=f"it tells of the time {told.isoformat()}") from error
    return found if found.year > 1 else otherwise or now()


def _config(told: Mapping[str, str], taken: Collection[str], *, is_here: bool) -> dict[str, str]:
    """Its keys without those that hold for the host or the run that they were written in, unless it is this one."""
    kept = {
        key: value
        for key, value in known(told if is_here else of_no_host(told)).items()
        if not (key.startswith("volatile.") and key.endswith(MAC) and value in taken)
    }
    if kept.get(IDENTITY, "") in ("", *taken):
        kept[IDENTITY] = str(uuid.uuid4())
    return {**kept, IDMAP: "[]"}


def _devices(told: Devices, place: Place, inherited: Devices, *, overrides: bool = True) -> dict[str, dict[str, str]]:
    """Its own devices, with what is to be different, and its root disk in the pool where it is."""
    devices = {name: dict(device) for name, device in told.items()}
    for name, options in place.devices.items() if overrides else ():
        merged = {**inherited.get(name, {}), **devices.get(name, {}), **options}
        devices[name] = {key: value for key, value in merged.items() if value != ""}
    root = root_device({**inherited, **devices})
    if root is None:
        devices["root"] = {"type": "disk", "path": "/", "pool": place.pool}
    elif root[1]["pool"] != place.pool:
        devices[root[0]] = {**root[1], "pool": place.pool}
    return devices


def identities(rows: Collection[InstanceRow]) -> set[str]:
    """What no other instance of a server may have: identities, and the MACs that were chosen for interfaces."""
    return {
        value
        for row in rows
        for key, value in row.config.items()
        if key == IDENTITY or (key.startswith("volatile.") and key.endswith(MAC))
    }
