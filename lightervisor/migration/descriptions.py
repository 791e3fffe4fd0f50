"""Instances and snapshots as two servers describe them to one another: in the header, and in the index before the data.

What comes from another server is checked here as what comes from a client: names, dates, architectures. Source: LXD,
MigrationHeader and the index header of version 1.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from lightervisor.config import architectures
from lightervisor.config.volatile_keys import known, of_no_host
from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.errors import Failure, Invalid
from lightervisor.instances import snapshot_names
from lightervisor.kernel.idmap import IdMap, IdRange, Kind
from lightervisor.migration.frames import Device, Pair, Range, Snapshot
from lightervisor.model.instance import Instance, InstanceSnapshot
from lightervisor.model.storage_volume import StorageVolume
from lightervisor.model.times import ZERO_TIME

INDEX_VERSION = 1
_FIRST_S, _LAST_S = int(ZERO_TIME.timestamp()), int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_KINDS: Mapping[tuple[bool, bool], Kind] = {(True, True): "both", (True, False): "uid", (False, True): "gid"}
_MOST_IDS = 1 << 32


class IndexAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What the target says to the index."""

    status_code: int = 200
    error: str = ""
    refresh: bool | None = None


class _Index(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """LXD's backup/config.Config; its keys have no names in JSON but Go's."""

    container: Instance
    snapshots: Sequence[InstanceSnapshot]
    pool: None = None
    profiles: Sequence[str] = ()
    volume: StorageVolume
    volume_snapshots: Sequence[StorageVolume]


def index(instance: Instance, snapshots: Sequence[InstanceSnapshot]) -> bytes:
    """The index of an instance and of those of its snapshots that are sent, in their order."""

    def volume(name: str, created_at: datetime) -> StorageVolume:
        return StorageVolume(name=name, type="container", created_at=created_at, project=instance.project)

    told = _Index(
        container=instance,
        snapshots=snapshots,
        volume=volume(instance.name, instance.created_at),
        volume_snapshots=[volume(one.name, one.created_at) for one in snapshots],
    )
    return msgspec.json.encode({"config": told})


def noted(*, is_refresh: bool) -> bytes:
    """The target's answer to an index that it has read."""
    return msgspec.json.encode(IndexAnswer(refresh=is_refresh))


def answered(text: bytes) -> IndexAnswer:
    """The target's answer to the index. Raises Invalid, Failure with the target's own words."""
    try:
        answer = msgspec.json.decode(text, type=IndexAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid("migration", cause=f"the other server does not answer as LXD does: {error}") from error
    if answer.status_code != 200:
        raise Failure("migration", cause=answer.error or f"the other server answers with {answer.status_code}")
    return answer


def told(row: SnapshotRow) -> Snapshot:
    """A snapshot for the header."""
    return Snapshot(
        name=row.name,
        config=_pairs(row.config),
        profiles=tuple(row.profiles),
        ephemeral=row.ephemeral,
        devices=tuple(Device(name=name, pairs=_pairs(device)) for name, device in row.devices.items()),
        architecture=architectures.NUMBERS.get(row.architecture, 0),
        stateful=row.stateful,
        created_at=int(row.created_at.timestamp()),
        last_used_at=int(row.last_used_at.timestamp()),
        expires_at=int(row.expires_at.timestamp()),
    )


def kept(snapshot: Snapshot, project: str, instance: str, architecture: str) -> SnapshotRow:
    """A snapshot from the header, as it is stored. Raises Invalid for what no snapshot can have."""
    snapshot_names.check(snapshot.name)
    names = {number: name for name, number in architectures.NUMBERS.items()}
    return SnapshotRow(
        project=project,
        instance=instance,
        name=snapshot.name,
        architecture=names.get(snapshot.architecture, architecture),
        created_at=_moment(snapshot.created_at),
        last_used_at=_moment(snapshot.last_used_at),
        expires_at=_moment(snapshot.expires_at) if snapshot.expires_at > 0 else ZERO_TIME,
        ephemeral=snapshot.ephemeral,
        config={
            **known(of_no_host({pair.key: pair.value for pair in snapshot.config})),
            "volatile.last_state.idmap": "[]",
        },
        devices={device.name: {pair.key: pair.value for pair in device.pairs} for device in snapshot.devices},
        profiles=list(snapshot.profiles),
    )


def mark(row: SnapshotRow) -> tuple[str, int]:
    """What two servers know a snapshot by: LXD compares dates by whole seconds, as they are sent."""
    return row.name, int(row.created_at.timestamp())


def idmap(ranges: Sequence[Range]) -> IdMap | None:
    """The map that the owners of the sent files are of; None when they are plain. Raises Invalid."""
    found: list[IdRange] = []
    for one in ranges:
        kind = _KINDS.get((one.is_uid, one.is_gid))
        ends = (one.host + one.count, one.guest + one.count)
        if kind is None or min(one.host, one.guest, one.count - 1) < 0 or max(ends) > _MOST_IDS:
            raise Invalid("migration", cause="the id map of the other server is no map")
        found.append(IdRange(kind, one.host, one.guest, one.count))
    return IdMap(tuple(found)) if found else None


def _pairs(values: Mapping[str, str]) -> tuple[Pair, ...]:
    return tuple(Pair(key=key, value=value) for key, value in values.items())


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, _FIRST_S), _LAST_S), UTC)
