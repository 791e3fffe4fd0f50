"""Rows of snapshots of instances: what the instance was configured as when each was taken."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from lightervisor.db.database import Database
from lightervisor.db.stored import IN_COMMON, Stored, in_common, values_in_common
from lightervisor.errors import Conflict, NotFound
from lightervisor.model.times import ZERO_TIME

COLUMNS = f"name, expires_at, scheduled, {IN_COMMON}"
OWN = ", ".join(f"snapshot.{column.strip()}" for column in COLUMNS.split(","))
_FROM = "from instance_snapshots snapshot join instances instance on instance.id = snapshot.instance_id"
_SECONDS = len("2026-01-01T00:00:00")
_OF_ONE = "instance_id = (select id from instances where project = ? and name = ?) and name = ?"
_INSERT = (
    f"insert into instance_snapshots (instance_id, {COLUMNS})"
    f" select id, {', '.join('?' * 12)} from instances where project = ? and name = ?"
)


class SnapshotRow(Stored, frozen=True, kw_only=True):
    """One snapshot as it is stored; `name` is its own, `expires_at` year 1 when it stays for ever.

    `scheduled` is one that a schedule took and nobody has renamed or given another end since.
    """

    project: str
    instance: str
    name: str
    expires_at: datetime = ZERO_TIME
    scheduled: bool = False


def _row(values: Sequence[Any]) -> SnapshotRow:
    return SnapshotRow(
        project=values[0],
        instance=values[1],
        name=values[2],
        expires_at=datetime.fromisoformat(values[3]),
        scheduled=bool(values[4]),
        **in_common(values[5:]),
    )


def _values(row: SnapshotRow) -> tuple[str | int, ...]:
    return (row.name, row.expires_at.isoformat(), row.scheduled, *values_in_common(row))


class SnapshotRows:
    """All SQL about snapshots of instances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, project: str, instance: str, name: str) -> SnapshotRow | None:
        """One snapshot, None when there is none of this name."""
        found = self._select(
            "instance.project = ? and instance.name = ? and snapshot.name = ?", project, instance, name
        )
        return found[0] if found else None

    def get(self, project: str, instance: str, name: str) -> SnapshotRow:
        """One snapshot. Raises NotFound with LXD's text."""
        found = self.find(project, instance, name)
        if found is None:
            text = f'Failed to fetch snapshot "{name}" of instance "{instance}" in project "{project}": '
            raise NotFound("snapshot", name, text=f"{text}InstanceSnapshot not found", remedy=f"lxc info {instance}")
        return found

    def of(self, project: str, instance: str) -> list[SnapshotRow]:
        """The snapshots of one instance, the oldest first."""
        return self._select("instance.project = ? and instance.name = ?", project, instance)

    def everything(self, project: str | None = None) -> list[SnapshotRow]:
        """The snapshots of all instances of a project, or of all with None; of each the oldest first."""
        return self._select("instance.project = ?", project) if project is not None else self._select("true")

    def scheduled(self) -> list[SnapshotRow]:
        """The snapshots that schedules took, of each instance the oldest first."""
        return self._select("snapshot.scheduled")

    def ended(self, moment: datetime) -> list[SnapshotRow]:
        """The snapshots that have had their time at a moment."""
        second = moment.astimezone(UTC).isoformat()[:_SECONDS]
        found = self._select(
            f"substr(snapshot.expires_at, 1, {_SECONDS}) > ? and substr(snapshot.expires_at, 1, {_SECONDS}) <= ?",
            ZERO_TIME.isoformat()[:_SECONDS],
            second,
        )
        return [row for row in found if row.expires_at <= moment]

    def _select(self, where: str, *values: str) -> list[SnapshotRow]:
        order = "order by 1, 2, snapshot.created_at, snapshot.id"
        query = f"select instance.project, instance.name, {OWN} {_FROM} where {where} {order}"
        return [_row(row) for row in self._database.reader.execute(query, values)]

    async def add(self, row: SnapshotRow) -> None:
        """Store a new snapshot. Raises Conflict with LXD's text when the name is taken, NotFound without instance."""
        await self.add_all([row])

    async def add_all(self, rows: Sequence[SnapshotRow]) -> None:
        """Store new snapshots of one instance, all or none; raises as `add`."""

        def insert(connection: sqlite3.Connection) -> None:
            for row in rows:
                try:
                    stored = connection.execute(_INSERT, (*_values(row), row.project, row.instance)).rowcount
                except sqlite3.IntegrityError as error:
                    raise taken(row.instance, row.name) from error
                if not stored:
                    raise NotFound("instance", row.instance, remedy="")

        await self._database.write(insert)

    async def replace(self, row: SnapshotRow) -> None:
        """Store another snapshot in the place of one of the same name; nothing happens when there is none."""

        def change(connection: sqlite3.Connection) -> None:
            place = (row.project, row.instance, row.name)
            if connection.execute(f"delete from instance_snapshots where {_OF_ONE}", place).rowcount:
                connection.execute(_INSERT, (*_values(row), row.project, row.instance))

        await self._database.write(change)

    async def set_expiry(self, project: str, instance: str, name: str, expires_at: datetime) -> None:
        """Change when a snapshot ends, which makes it somebody's own. Raises NotFound."""
        values = (expires_at.isoformat(), project, instance, name)
        query = f"update instance_snapshots set expires_at = ?, scheduled = 0 where {_OF_ONE}"
        if not await self._database.write(lambda connection: connection.execute(query, values).rowcount):
            self.get(project, instance, name)

    async def rename(self, project: str, instance: str, name: str, new_name: str) -> None:
        """Give a snapshot another name, which makes it somebody's own. Raises Conflict when it is taken."""
        values = (new_name, project, instance, name)
        query = f"update instance_snapshots set name = ?, scheduled = 0 where {_OF_ONE}"
        try:
            await self._database.write(lambda connection: connection.execute(query, values))
        except sqlite3.IntegrityError as error:
            raise renamed_to_taken(instance, new_name) from error

    async def delete(self, project: str, instance: str, name: str) -> None:
        """Forget a snapshot; nothing happens when it is gone already."""
        query = f"delete from instance_snapshots where {_OF_ONE}"
        await self._database.write(lambda connection: connection.execute(query, (project, instance, name)))


def replace_all(connection: sqlite3.Connection, project: str, instance: str, rows: Sequence[SnapshotRow]) -> None:
    """Give an instance these snapshots and no others, inside a transaction."""
    query = (
        "delete from instance_snapshots where instance_id = (select id from instances where project = ? and name = ?)"
    )
    connection.execute(query, (project, instance))
    for row in rows:
        connection.execute(_INSERT, (*_values(row), project, instance))


def taken(instance: str, name: str) -> Conflict:
    """What is said of a name that another snapshot of the instance has."""
    return Conflict(
        "snapshot",
        name,
        text=f'Failed creating instance snapshot record "{name}": Add snapshot info to the database: '
        'This "instances_snapshots" entry already exists',
        remedy=f"choose another name, or replace it: lxc snapshot {instance} {name} --reuse",
    )


def renamed_to_taken(instance: str, name: str) -> Conflict:
    """What is said of a new name that another snapshot of the instance has."""
    return Conflict("snapshot", name, text=f"Name '{instance}/{name}' already in use", remedy=f"lxc info {instance}")
