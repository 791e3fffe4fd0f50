"""Rows of custom storage volumes.

`state` is "created" when the volume is as the row says; "pending" while it is being made or removed, and the new name
after "renaming " while it is renamed; "renamed" until the instances that show it are described anew; pool and name of
where it was after "moved " until nothing is left there: what a daemon that starts has to finish or undo.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec

from lightervisor.db.database import Database
from lightervisor.db.volume_snapshots import VolumeSnapshotRow, add_all
from lightervisor.errors import Conflict, NotFound

COLUMNS = "pool, project, name, content_type, description, config, created_at, state"
PENDING, CREATED, RENAMING, RENAMED, MOVED = "pending", "created", "renaming ", "renamed", "moved "
TAKEN = "Volume by that name already exists"


class VolumeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One custom volume as it is stored."""

    pool: str
    project: str
    name: str
    created_at: datetime
    content_type: str = "filesystem"
    description: str = ""
    config: dict[str, str] = {}
    state: str = PENDING


class VolumeRows:
    """All SQL about custom volumes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, pool: str, project: str, name: str) -> VolumeRow:
        """One volume that stands. Raises NotFound with LXD's text."""
        query = f"select {COLUMNS} from storage_volumes where pool = ? and project = ? and name = ? and state != ?"
        found = self._database.reader.execute(query, (pool, project, name, PENDING)).fetchone()
        if found is None:
            raise NotFound("storage pool volume", name)
        return _row(found)

    def list(self, pool: str | None = None, project: str | None = None) -> list[VolumeRow]:
        """The volumes that stand, of one pool and project or of all, by name."""
        return [row for row in self.all(pool, project) if row.state != PENDING]

    def all(self, pool: str | None = None, project: str | None = None) -> "list[VolumeRow]":
        """As `list`, with those that are being made or removed."""
        query = f"select {COLUMNS} from storage_volumes where pool = ifnull(?, pool) and project = ifnull(?, project)"
        rows = self._database.reader.execute(f"{query} order by pool, project, name", (pool, project))
        return [_row(row) for row in rows]

    async def add(self, row: VolumeRow) -> None:
        """Store a new volume. Raises Conflict with LXD's text when the name is taken."""
        query = f"insert into storage_volumes ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)"
        try:
            await self._database.write(lambda connection: connection.execute(query, _values(row)))
        except sqlite3.IntegrityError as error:
            raise Conflict("storage volume", row.name, text=TAKEN) from error

    async def replace(self, row: VolumeRow) -> None:
        """Store description, configuration and state again."""
        query = (
            "update storage_volumes set description = ?, config = ?, state = ? "
            "where pool = ? and project = ? and name = ?"
        )
        values = (row.description, _json(row.config), row.state, row.pool, row.project, row.name)
        await self._database.write(lambda connection: connection.execute(query, values))

    async def complete(self, row: VolumeRow, snapshots: Sequence[VolumeSnapshotRow]) -> None:
        """A volume is there, with these snapshots."""

        def change(connection: sqlite3.Connection) -> None:
            query = "update storage_volumes set state = ? where pool = ? and project = ? and name = ?"
            connection.execute(query, (CREATED, row.pool, row.project, row.name))
            add_all(connection, snapshots)

        await self._database.write(change)

    async def rename(self, row: VolumeRow, new_name: str) -> None:
        """Give a volume another name, and those of its project's instances and profiles that have it as a disk.

        Those instances are to be described anew then.
        """
        await self._database.write(lambda connection: _put(connection, row, row.pool, new_name, RENAMED))

    async def move(self, row: VolumeRow, pool: str, name: str) -> None:
        """A volume is in another pool, where a row that is being made kept its place, and so are its disks."""

        def change(connection: sqlite3.Connection) -> None:
            query = "delete from storage_volumes where pool = ? and project = ? and name = ? and state = ?"
            connection.execute(query, (pool, row.project, name, PENDING))
            _put(connection, row, pool, name, f"{MOVED}{row.pool}/{row.name}")

        await self._database.write(change)

    async def delete(self, row: VolumeRow) -> None:
        """Forget a volume."""
        query = "delete from storage_volumes where pool = ? and project = ? and name = ?"
        values = (row.pool, row.project, row.name)
        await self._database.write(lambda connection: connection.execute(query, values))


def shows(device: dict[str, str], pool: str, name: str) -> bool:
    """Whether a device is a disk with this volume."""
    return shown(device, pool) == name


def shown(device: dict[str, str], pool: str) -> str:
    """The volume of a pool that a device shows, "" for what is no such disk."""
    is_one = device.get("type") == "disk" and device.get("pool") == pool and device.get("path") != "/"
    return device.get("source", "").removeprefix("custom/") if is_one else ""


def _put(connection: sqlite3.Connection, row: VolumeRow, pool: str, name: str, state: str) -> None:
    """Give a volume another place, and the disks that show it, inside a transaction."""
    query = "update storage_volumes set pool = ?, name = ?, state = ? where pool = ? and project = ? and name = ?"
    connection.execute(query, (pool, name, state, row.pool, row.project, row.name))
    for table in ("instances", "profiles"):
        found = connection.execute(f"select id, devices from {table} where project = ?", (row.project,))
        for key, text in found.fetchall():
            devices = msgspec.json.decode(text, type=dict[str, dict[str, str]])
            changed = [device for device in devices.values() if shows(device, row.pool, row.name)]
            for device in changed:
                device["pool"], device["source"] = pool, name
            if changed:
                connection.execute(f"update {table} set devices = ? where id = ?", (_json(devices), key))


def _values(row: VolumeRow) -> tuple[str, ...]:
    moment = row.created_at.isoformat()
    place = (row.pool, row.project, row.name)
    return (*place, row.content_type, row.description, _json(row.config), moment, row.state)


def _row(values: sqlite3.Row) -> VolumeRow:
    return VolumeRow(
        pool=values[0],
        project=values[1],
        name=values[2],
        content_type=values[3],
        description=values[4],
        config=msgspec.json.decode(values[5], type=dict[str, str]),
        created_at=datetime.fromisoformat(values[6]),
        state=values[7],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
