"""Rows of backups of custom volumes that this server keeps. A row says in which file it is; there is none without."""

import sqlite3
from datetime import datetime

import msgspec

from lightervisor.config.names import VolumePlace
from lightervisor.db.database import Database
from lightervisor.errors import Conflict, NotFound
from lightervisor.model.times import ZERO_TIME

COLUMNS = "name, created_at, expires_at, volume_only, optimized_storage, file"
_OWN = ", ".join(f"backup.{column.strip()}" for column in COLUMNS.split(","))
_FROM = "from volume_backups backup join storage_volumes volume on volume.id = backup.volume_id"
_OF_ONE = "volume_id = (select id from storage_volumes where pool = ? and project = ? and name = ?) and name = ?"


class VolumeBackupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One backup as it is stored; `file` is its name among the backups' files, `expires_at` year 1 for never."""

    volume: VolumePlace
    name: str
    created_at: datetime
    expires_at: datetime = ZERO_TIME
    volume_only: bool = False
    optimized_storage: bool = False
    file: str


def _row(values: sqlite3.Row) -> VolumeBackupRow:
    return VolumeBackupRow(
        volume=VolumePlace(values[0], values[1], values[2]),
        name=values[3],
        created_at=datetime.fromisoformat(values[4]),
        expires_at=datetime.fromisoformat(values[5]),
        volume_only=bool(values[6]),
        optimized_storage=bool(values[7]),
        file=values[8],
    )


class VolumeBackupRows:
    """All SQL about backups of volumes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, volume: VolumePlace, name: str) -> VolumeBackupRow | None:
        """One backup, None when there is none of this name."""
        found = [row for row in self.of(volume) if row.name == name]
        return found[0] if found else None

    def get(self, volume: VolumePlace, name: str) -> VolumeBackupRow:
        """One backup. Raises NotFound with LXD's text."""
        found = self.find(volume, name)
        if found is None:
            raise NotFound("storage volume backup", name, text="Storage volume backup not found")
        return found

    def of(self, volume: VolumePlace) -> list[VolumeBackupRow]:
        """The backups of one volume, the oldest first."""
        return self._select("volume.pool = ? and volume.project = ? and volume.name = ?", *volume)

    def everything(self) -> list[VolumeBackupRow]:
        """The backups of all volumes; of each the oldest first."""
        return self._select("true")

    def _select(self, where: str, *values: str) -> list[VolumeBackupRow]:
        query = (
            f"select volume.pool, volume.project, volume.name, {_OWN} {_FROM} where {where} order by 1, 2, 3, backup.id"
        )
        return [_row(row) for row in self._database.reader.execute(query, values)]

    async def add(self, row: VolumeBackupRow) -> None:
        """Store a new backup. Raises Conflict when the name is taken, NotFound without volume."""
        query = (
            f"insert into volume_backups (volume_id, {COLUMNS})"
            " select id, ?, ?, ?, ?, ?, ? from storage_volumes where pool = ? and project = ? and name = ?"
        )
        times = (row.created_at.isoformat(), row.expires_at.isoformat())
        values = (row.name, *times, row.volume_only, row.optimized_storage, row.file, *row.volume)
        try:
            if not await self._database.write(lambda connection: connection.execute(query, values).rowcount):
                raise NotFound("storage pool volume", row.volume.name)
        except sqlite3.IntegrityError as error:
            raise taken(row.name) from error

    async def rename(self, volume: VolumePlace, name: str, new_name: str) -> None:
        """Give a backup another name. Raises Conflict when it is taken."""
        query, values = f"update volume_backups set name = ? where {_OF_ONE}", (new_name, *volume, name)
        try:
            await self._database.write(lambda connection: connection.execute(query, values))
        except sqlite3.IntegrityError as error:
            raise taken(new_name) from error

    async def delete(self, row: VolumeBackupRow) -> None:
        """Forget a backup; nothing happens when it is gone already."""
        query = "delete from volume_backups where file = ?"
        await self._database.write(lambda connection: connection.execute(query, (row.file,)))


def taken(name: str) -> Conflict:
    """What is said of a name that another backup of the volume has."""
    text = f'Create backup: Backup "{name}" already exists'
    return Conflict("backup", name, text=text, remedy="choose another name")
