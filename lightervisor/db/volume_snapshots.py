"""Rows of snapshots of custom volumes: what the volume was configured as when each was taken."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from lightervisor.config.names import VolumePlace
from lightervisor.db.database import Database
from lightervisor.errors import Conflict, NotFound
from lightervisor.model.times import ZERO_TIME

COLUMNS = "name, description, config, created_at, expires_at"
_OWN = ", ".join(f"snapshot.{column.strip()}" for column in COLUMNS.split(","))
_FROM = "from volume_snapshots snapshot join storage_volumes volume on volume.id = snapshot.volume_id"
_VOLUME = "(select id from storage_volumes where pool = ? and project = ? and name = ?)"
_OF_ONE = f"volume_id = {_VOLUME} and name = ?"
_SECONDS = len("2026-01-01T00:00:00")


class VolumeSnapshotRow(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot as it is stored; `expires_at` is year 1 when it stays for ever."""

    volume: VolumePlace
    name: str
    created_at: datetime
    description: str = ""
    config: dict[str, str] = {}
    expires_at: datetime = ZERO_TIME


class VolumeSnapshotRows:
    """All SQL about snapshots of custom volumes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, volume: VolumePlace, name: str) -> VolumeSnapshotRow | None:
        """One snapshot, None when there is none of this name."""
        where = "volume.pool = ? and volume.project = ? and volume.name = ? and snapshot.name = ?"
        found = self._select(where, *volume, name)
        return found[0] if found else None

    def get(self, volume: VolumePlace, name: str) -> VolumeSnapshotRow:
        """One snapshot. Raises NotFound with LXD's text."""
        found = self.find(volume, name)
        if found is None:
            remedy = f"lxc storage volume info {volume.pool} {volume.name}"
            raise NotFound("snapshot", name, text="Storage pool volume not found", remedy=remedy)
        return found

    def of(self, volume: VolumePlace) -> list[VolumeSnapshotRow]:
        """The snapshots of one volume, the oldest first."""
        return self._select("volume.pool = ? and volume.project = ? and volume.name = ?", *volume)

    def everything(self, pool: str, project: str | None) -> list[VolumeSnapshotRow]:
        """The snapshots of all volumes of a pool, of one project or of all with None; of each the oldest first."""
        where = "volume.pool = ? and volume.project = ifnull(?, volume.project) and volume.state != 'pending'"
        return self._select(where, pool, project)

    def ended(self, moment: datetime) -> list[VolumeSnapshotRow]:
        """The snapshots that have had their time at a moment."""
        second = moment.astimezone(UTC).isoformat()[:_SECONDS]
        expiry = f"substr(snapshot.expires_at, 1, {_SECONDS})"
        found = self._select(f"{expiry} > ? and {expiry} <= ?", ZERO_TIME.isoformat()[:_SECONDS], second)
        return [row for row in found if row.expires_at <= moment]

    def _select(self, where: str, *values: str | None) -> list[VolumeSnapshotRow]:
        order = "order by 1, 2, 3, snapshot.created_at, snapshot.id"
        query = f"select volume.pool, volume.project, volume.name, {_OWN} {_FROM} where {where} {order}"
        return [_row(row) for row in self._database.reader.execute(query, values)]

    async def add(self, row: VolumeSnapshotRow) -> None:
        """Store a new snapshot. Raises Conflict with LXD's text when the name is taken, NotFound without volume."""
        await self._database.write(lambda connection: add_all(connection, [row]))

    async def replace(self, row: VolumeSnapshotRow) -> None:
        """Store description and end again. Raises NotFound."""
        values = (row.description, row.expires_at.isoformat(), *row.volume, row.name)
        query = f"update volume_snapshots set description = ?, expires_at = ? where {_OF_ONE}"
        if not await self._database.write(lambda connection: connection.execute(query, values).rowcount):
            self.get(row.volume, row.name)

    async def rename(self, volume: VolumePlace, name: str, new_name: str) -> None:
        """Give a snapshot another name. Raises Conflict when it is taken."""
        query = f"update volume_snapshots set name = ? where {_OF_ONE}"
        try:
            await self._database.write(lambda connection: connection.execute(query, (new_name, *volume, name)))
        except sqlite3.IntegrityError as error:
            raise taken(new_name) from error

    async def delete(self, volume: VolumePlace, name: str) -> None:
        """Forget a snapshot; nothing happens when it is gone already."""
        query = f"delete from volume_snapshots where {_OF_ONE}"
        await self._database.write(lambda connection: connection.execute(query, (*volume, name)))


def add_all(connection: sqlite3.Connection, rows: Sequence[VolumeSnapshotRow]) -> None:
    """Store new snapshots inside a transaction. Raises Conflict, NotFound."""
    for row in rows:
        values = (row.name, row.description, msgspec.json.encode(row.config).decode())
        times = (row.created_at.isoformat(), row.expires_at.isoformat())
        query = (
            f"insert into volume_snapshots (volume_id, {COLUMNS})"
            " select id, ?, ?, ?, ?, ? from storage_volumes where pool = ? and project = ? and name = ?"
        )
        try:
            stored = connection.execute(query, (*values, *times, *row.volume)).rowcount
        except sqlite3.IntegrityError as error:
            raise taken(row.name) from error
        if not stored:
            raise NotFound("storage pool volume", row.volume.name)


def taken(name: str) -> Conflict:
    """What is said of a name that another snapshot of the volume has."""
    remedy = "choose another name, or replace it with --reuse"
    return Conflict("snapshot", name, text=f'Snapshot "{name}" already in use', remedy=remedy)


def _row(values: sqlite3.Row) -> VolumeSnapshotRow:
    return VolumeSnapshotRow(
        volume=VolumePlace(values[0], values[1], values[2]),
        name=values[3],
        description=values[4],
        config=msgspec.json.decode(values[5], type=dict[str, str]),
        created_at=datetime.fromisoformat(values[6]),
        expires_at=datetime.fromisoformat(values[7]),
    )
