"""Custom volumes and their snapshots as two servers describe them to one another: in the header, and in the index.

What comes from another server is checked here as what comes from a client. Source: LXD 5.0.2, migration of volumes.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from lightervisor.config.names import VolumePlace
from lightervisor.db.volume_snapshots import VolumeSnapshotRow
from lightervisor.errors import Failure, Invalid
from lightervisor.kernel.threads import entered
from lightervisor.migration import btrfs, descriptions
from lightervisor.migration.frames import FilesBy, Header, Pair, RsyncFeatures
from lightervisor.migration.frames import Snapshot as Told
from lightervisor.migration.rsync import OLD, TARGET, TWINS, offered
from lightervisor.migration.talk import Talk
from lightervisor.model.backup_file import BackupConfig
from lightervisor.model.decode import without_nulls
from lightervisor.model.storage_volume import StorageVolumeSnapshot
from lightervisor.model.times import EPOCH, ZERO_TIME, now
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from lightervisor.storage.streams import SubvolumeStreams
from lightervisor.storage.volume_rules import check_config, check_snapshot_name, known_config


class _Config(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """LXD's backup/config.Config, as far as volumes fill it."""

    volume_snapshots: list[StorageVolumeSnapshot] = []


class _Index(msgspec.Struct, frozen=True, kw_only=True):
    config: _Config = _Config()


class Coming(NamedTuple):
    """What the two servers agreed on: `snapshots` come, in this order; `offered` are all that the source has."""

    snapshots: Sequence[VolumeSnapshotRow]
    offered: Sequence[str]
    features: RsyncFeatures
    is_streamed: bool


def told(row: VolumeSnapshotRow) -> Told:
    """A snapshot for the header."""
    return Told(
        name=row.name,
        config=tuple(Pair(key=key, value=value) for key, value in row.config.items()),
        created_at=int(row.created_at.timestamp()),
        expires_at=int(row.expires_at.timestamp()),
    )


def index(config: BackupConfig) -> bytes:
    """The index of a volume and of those of its snapshots that are sent; Go reads its keys by their own names."""
    filled = {"Volume": config.volume, "VolumeSnapshots": config.volume_snapshots}
    empty = dict.fromkeys(("Container", "Snapshots", "Pool", "Profiles"))
    return msgspec.json.encode({"config": {**empty, **filled}})


async def agree(
    talk: Talk, place: VolumePlace, driver: StorageDriver, has: Sequence[VolumeSnapshotRow] | None, *, is_alone: bool
) -> Coming:
    """Read an offer and answer it; `has` are the snapshots of a volume that is there, None without it.

    Raises Invalid for what cannot be, Failure when the other side can only do what we cannot.
    """
    offer = await talk.control.message(Header)
    if offer.rsync is None and offer.files_by != FilesBy.RSYNC:
        raise Failure("migration", text="No matching migration types found")
    if len(offer.snapshots) != len(offer.snapshot_names):
        raise Invalid("migration", cause="the other server names other snapshots than it describes")
    if len({one.name for one in offer.snapshots}) != len(offer.snapshots):
        raise Invalid("migration", cause="the other server offers a snapshot twice")
    rows = [] if is_alone else [_kept(one, place) for one in offer.snapshots]
    known = {row.name: row.created_at for row in has or ()}
    wanted = [row for row in rows if not _is_known(row, known, offer.snapshots)]
    names = {row.name for row in wanted}
    said, ours = offer.rsync or OLD, offered(driver.config)
    fields = RsyncFeatures.__struct_fields__
    common = RsyncFeatures(**{name: getattr(said, name) and getattr(ours, name) for name in fields})
    # A refresh goes by rsync, which knows what is there already.
    is_new = has is None and not is_alone and isinstance(driver, SubvolumeStreams)
    streams = btrfs.common(offer.btrfs) if is_new and offer.files_by == FilesBy.BTRFS else None
    answer = Header(
        files_by=FilesBy.RSYNC if streams is None else FilesBy.BTRFS,
        btrfs=streams,
        snapshot_names=tuple(row.name for row in wanted),
        snapshots=tuple(one for one in offer.snapshots if one.name in names),
        rsync=common if said.bidirectional else OLD,
        refresh=has is not None or is_alone,
        index_version=min(offer.index_version or 0, descriptions.INDEX_VERSION),
    )
    talk.agreed(answer.index_version)
    await talk.control.tell(answer)
    if talk.index_version:
        text = await talk.unless_ended(talk.fs.text())
        await talk.fs.send_text(descriptions.noted(is_refresh=has is not None))
        wanted = _described(wanted, text)
    return Coming(wanted, [row.name for row in rows], answer.rsync or OLD, is_streamed=streams is not None)


def _is_known(row: VolumeSnapshotRow, known: Mapping[str, datetime], offers: Sequence[Told]) -> bool:
    """Whether a snapshot is here, by its name and second; LXD 5.0 knows no dates of volumes."""
    if row.name not in known:
        return False
    (offer,) = (one for one in offers if one.name == row.name)
    return offer.created_at <= 0 or offer.created_at == int(known[row.name].timestamp())


def _kept(snapshot: Told, place: VolumePlace) -> VolumeSnapshotRow:
    """A snapshot from the header, as it is stored. Raises Invalid for what no snapshot can have."""
    check_snapshot_name(snapshot.name)
    config = known_config({pair.key: pair.value for pair in snapshot.config})
    check_config(place.project, f"{place.name}/{snapshot.name}", config)
    return VolumeSnapshotRow(
        volume=place,
        name=snapshot.name,
        created_at=_moment(snapshot.created_at, now()),
        config=config,
        expires_at=_moment(snapshot.expires_at, ZERO_TIME),
    )


def _moment(seconds: int, otherwise: datetime) -> datetime:
    """A point in time after 1970 that can be written; what is none is something else."""
    last = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
    return datetime.fromtimestamp(min(seconds, last), UTC) if seconds > EPOCH.timestamp() else otherwise


def _described(rows: Sequence[VolumeSnapshotRow], text: bytes) -> list[VolumeSnapshotRow]:
    """With the descriptions that the header has no room for. Raises Invalid."""
    try:
        found = msgspec.convert(without_nulls(msgspec.json.decode(text)), _Index)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid("migration", cause=f"the other server does not describe as LXD does: {error}") from error
    described = {one.name: one.description for one in found.config.volume_snapshots}
    return [msgspec.structs.replace(row, description=described.get(row.name, "")) for row in rows]


class Arrival(NamedTuple):
    """What rsync may write to, and what need not be sent where it is the same; by where it sees them."""

    writable: Mapping[Path, str]
    twin: Mapping[Path, str]


@asynccontextmanager
async def arriving(
    driver: StorageDriver, target: Volume | Snapshot, like: Volume | Snapshot | None
) -> AsyncGenerator[Arrival, None]:
    """A place for the files of a volume or snapshot; when it ends well the target is there, or is replaced."""
    async with AsyncExitStack() as stack:
        filling = await stack.enter_async_context(entered(driver.filling(target, like)))
        root, twin = filling.directory / "rootfs", dict[Path, str]()
        if like is not None and not any(root.iterdir()):
            shown = await stack.enter_async_context(entered(driver.opened(like)))
            twin[shown / "rootfs"] = TWINS[0]
        yield Arrival({root: TARGET}, twin)
