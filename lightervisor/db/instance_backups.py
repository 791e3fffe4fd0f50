"""Rows of backups of instances that this server keeps. A row says in which file it is; there is none without one."""

import sqlite3
from datetime import datetime

import msgspec

from lightervisor.db.database import Database
from lightervisor.errors import Conflict, NotFound
from lightervisor.model.times import ZERO_TIME

COLUMNS = "name, created_at, expires_at, instance_only, optimized_storage, file"
_OWN = ", ".join(f"backup.{column.strip()}" for column in COLUMNS.split(","))
_FROM = "from instance_backups backup join instances instance on instance.id = backup.instance_id"
_OF_ONE = "instance_id = (select id from instances where project = ? and name = ?) and name = ?"


class BackupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One backup as it is stored; `file` is its name among the backups' files, `expires_at` year 1 for never."""

    project: str
    instance: str
    name: str
    created_at: datetime
    expires_at: datetime = ZERO_TIME
    instance_only: bool = False
    optimized_storage: bool = False
    file: str


def _row(values: sqlite3.Row) -> BackupRow:
    return BackupRow(
        project=values[0],
        instance=values[1],
        name=values[2],
        created_at=datetime.fromisoformat(values[3]),
        expires_at=datetime.fromisoformat(values[4]),
        instance_only=bool(values[5]),
        optimized_storage=bool(values[6]),
        file=values[7],
    )


class BackupRows:
    """All SQL about backups of instances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, project: str, instance: str, name: str) -> BackupRow | None:
        """One backup, None when there is none of this name."""
        found = self._select("instance.project = ? and instance.name = ? and backup.name = ?", project, instance, name)
        return found[0] if found else None

    def get(self, project: str, instance: str, name: str) -> BackupRow:
        """One backup. Raises NotFound with LXD's text."""
        found = self.find(project, instance, name)
        if found is None:
            raise NotFound("instance backup", name, text="Load backup from database: Instance backup not found")
        return found

    def of(self, project: str, instance: str) -> list[BackupRow]:
        """The backups of one instance, the oldest first."""
        return self._select("instance.project = ? and instance.name = ?", project, instance)

    def everything(self, project: str | None = None) -> list[BackupRow]:
        """The backups of all instances of a project, or of all with None; of each the oldest first."""
        return self._select("instance.project = ?", project) if project is not None else self._select("true")

    def _select(self, where: str, *values: str) -> list[BackupRow]:
        query = f"select instance.project, instance.name, {_OWN} {_FROM} where {where} order by 1, 2, backup.id"
        return [_row(row) for row in self._database.reader.execute(query, values)]

    async def add(self, row: BackupRow) -> None:
        """Store a new backup. Raises Conflict when the name is taken, NotFound without instance."""

        def insert(connection: sqlite3.Connection) -> int:
            query = (
                f"insert into instance_backups (instance_id, {COLUMNS})"
                " select id, ?, ?, ?, ?, ?, ? from instances where project = ? and name = ?"
            )
            values = (
                row.name, row.created_at.isoformat(), row.expires_at.isoformat(), row.instance_only,
                row.optimized_storage, row.file, row.project, row.instance,
            )  # fmt: skip
            return connection.execute(query, values).rowcount

        try:
            if not await self._database.write(insert):
                raise NotFound("instance", row.instance, remedy="")
        except sqlite3.IntegrityError as error:
            raise taken(row.instance, row.name) from error

    async def rename(self, project: str, instance: str, name: str, new_name: str) -> None:
        """Give a backup another name. Raises Conflict when it is taken."""
        values = (new_name, project, instance, name)
        query = f"update instance_backups set name = ? where {_OF_ONE}"
        try:
            await self._database.write(lambda connection: connection.execute(query, values))
        except sqlite3.IntegrityError as error:
            raise taken(instance, new_name) from error

    async def delete(self, project: str, instance: str, name: str) -> None:
        """Forget a backup; nothing happens when it is gone already."""
        query = f"delete from instance_backups where {_OF_ONE}"
        await self._database.write(lambda connection: connection.execute(query, (project, instance, name)))


def taken(instance: str, name: str) -> Conflict:
    """What is said of a name that another backup of the instance has."""
    text = f'Create backup: Backup "{instance}/{name}" already exists'
    return Conflict("backup", name, text=text, remedy="choose another name")
