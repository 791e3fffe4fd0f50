"""Rows of instances."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lightervisor.db import instance_snapshots
from lightervisor.db.database import Database
from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.stored import IN_COMMON, Stored, decode_map, encode, in_common, values_in_common
from lightervisor.errors import Conflict, NotFound

COLUMNS = f"project, name, {IN_COMMON}"


class InstanceRow(Stored, frozen=True, kw_only=True):
    """One instance as it is stored: its own configuration, before profiles."""

    project: str
    name: str


def _row(values: Sequence[Any]) -> InstanceRow:
    return InstanceRow(project=values[0], name=values[1], **in_common(values[2:]))


def _values(row: InstanceRow) -> tuple[str | int, ...]:
    return (row.project, row.name, *values_in_common(row))


class InstanceRows:
    """All SQL about instances. Reads are short and run inline; writes are durable when they return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, project: str, name: str) -> InstanceRow:
        """One instance. Raises NotFound with LXD's text."""
        found = self._database.reader.execute(
            f"select {COLUMNS} from instances where project = ? and name = ?", (project, name)
        ).fetchone()
        if found is None:
            raise NotFound("instance", name, remedy="")
        return _row(found)

    def exists(self, project: str, name: str) -> bool:
        """Whether there is such an instance."""
        query = "select 1 from instances where project = ? and name = ?"
        return self._database.reader.execute(query, (project, name)).fetchone() is not None

    def list(self, project: str | None = None) -> list[InstanceRow]:
        """The instances of one project, or all with None, by name."""
        where, values = ("", ()) if project is None else ("where project = ?", (project,))
        rows = self._database.reader.execute(f"select {COLUMNS} from instances {where} order by project, name", values)
        return [_row(row) for row in rows]

    async def add(self, row: InstanceRow) -> None:
        """Store a new instance. Raises Conflict with LXD's text when the name is taken."""

        def insert(connection: sqlite3.Connection) -> None:
            marks = ", ".join("?" * 11)
            connection.execute(f"insert into instances ({COLUMNS}) values ({marks})", _values(row))

        try:
            await self._database.write(insert)
        except sqlite3.IntegrityError as error:
            raise Conflict(
                "instance",
                row.name,
                text="Failed creating instance record: Add instance info to the database: "
                'This "instances" entry already exists',
                remedy=f"choose another name, or delete it first: lxc delete {row.name}",
            ) from error

    async def replace(self, row: InstanceRow) -> None:
        """Store all of an instance's row again. Raises NotFound when it is gone."""

        def update(connection: sqlite3.Connection) -> int:
            sets = ", ".join(f"{column.strip()} = ?" for column in COLUMNS.split(","))
            query = f"update instances set {sets} where project = ? and name = ?"
            return connection.execute(query, (*_values(row), row.project, row.name)).rowcount

        if not await self._database.write(update):
            raise NotFound("instance", row.name)

    async def merge_config(
        self, project: str, name: str, changes: Mapping[str, str | None], *, last_used_at: datetime | None = None
    ) -> None:
        """Change single keys of the stored configuration (the daemon's `volatile.*`); None removes a key.

        Raises NotFound when the instance is gone.
        """

        def change(connection: sqlite3.Connection) -> bool:
            query = "select config from instances where project = ? and name = ?"
            found = connection.execute(query, (project, name)).fetchone()
            if found is None:
                return False
            merged: dict[str, str | None] = {**decode_map(found[0]), **changes}
            config = {key: value for key, value in merged.items() if value is not None}
            query = "update instances set config = ? where project = ? and name = ?"
            connection.execute(query, (encode(config), project, name))
            if last_used_at is not None:
                query = "update instances set last_used_at = ? where project = ? and name = ?"
                connection.execute(query, (last_used_at.isoformat(), project, name))
            return True

        if not await self._database.write(change):
            raise NotFound("instance", name)

    async def note_start(self, project: str, name: str, changes: Mapping[str, str | None], moment: datetime) -> None:
        """Note that an instance was started, with its volatile keys, in one transaction."""
        await self.merge_config(project, name, changes, last_used_at=moment)

    async def rename(self, project: str, name: str, new_name: str) -> None:
        """Give an instance another name. Raises Conflict when it is taken."""
        try:
            await self._database.write(
                lambda connection: connection.execute(
                    "update instances set name = ? where project = ? and name = ?", (new_name, project, name)
                )
            )
        except sqlite3.IntegrityError as error:
            raise Conflict("instance", new_name, text=f'Name "{new_name}" already in use') from error

    async def move(self, name: str, row: InstanceRow, snapshots: Sequence[SnapshotRow]) -> None:
        """Store an instance that had this name, with these of its snapshots and no others, in one transaction.

        Raises Conflict when the new name is taken, NotFound when it is gone.
        """

        def change(connection: sqlite3.Connection) -> int:
            sets = ", ".join(f"{column.strip()} = ?" for column in COLUMNS.split(","))
            query = f"update instances set {sets} where project = ? and name = ?"
            changed = connection.execute(query, (*_values(row), row.project, name)).rowcount
            instance_snapshots.replace_all(connection, row.project, row.name, snapshots)
            return changed

        try:
            if not await self._database.write(change):
                raise NotFound("instance", name, remedy="")
        except sqlite3.IntegrityError as error:
            raise Conflict("instance", row.name, text=f'Name "{row.name}" already in use') from error

    async def delete(self, project: str, name: str) -> None:
        """Forget an instance; nothing happens when it is gone already."""
        await self._database.write(
            lambda connection: connection.execute(
                "delete from instances where project = ? and name = ?", (project, name)
            )
        )
