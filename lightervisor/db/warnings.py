"""Rows of warnings: what the administrator should know, counted instead of repeated."""

import sqlite3
import uuid
from datetime import datetime

from lightervisor.db.database import Database
from lightervisor.errors import NotFound
from lightervisor.model.times import now
from lightervisor.model.warning import Warning


class WarningRows:
    """All SQL about warnings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def upsert(self, kind: str, message: str, *, entity_url: str = "", severity: str = "low") -> None:
        """Raise a warning, or count it once more when the same one stands already."""
        moment = now().isoformat()
        await self._database.write(
            lambda connection: connection.execute(
                "insert into warnings (uuid, type, entity_url, severity, first_seen_at, last_seen_at, last_message) "
                "values (?, ?, ?, ?, ?, ?, ?) on conflict (project, type, entity_url) do update set "
                "count = count + 1, last_seen_at = excluded.last_seen_at, last_message = excluded.last_message, "
                "status = case status when 'resolved' then 'new' else status end",
                (str(uuid.uuid4()), kind, entity_url, severity, moment, moment, message),
            )
        )

    async def resolve(self, kind: str, *, entity_url: str = "") -> None:
        """Mark a warning as resolved; nothing happens when there is none."""
        query = "select 1 from warnings where type = ? and entity_url = ? and status != 'resolved'"
        if self._database.reader.execute(query, (kind, entity_url)).fetchone() is None:
            return
        await self._database.write(
            lambda connection: connection.execute(
                "update warnings set status = 'resolved' where type = ? and entity_url = ?", (kind, entity_url)
            )
        )

    def list(self) -> list[Warning]:
        """All warnings, the oldest first."""
        return [_view(row) for row in self._database.reader.execute("select * from warnings order by first_seen_at")]

    def get(self, identity: str) -> Warning:
        """One warning by uuid. Raises NotFound."""
        found = self._database.reader.execute("select * from warnings where uuid = ?", (identity,)).fetchone()
        if found is None:
            raise NotFound("warning", identity)
        return _view(found)

    async def set_status(self, identity: str, status: str) -> None:
        """Acknowledge a warning or make it new again. Raises NotFound."""
        query = "update warnings set status = ? where uuid = ?"
        if not await self._database.write(lambda connection: connection.execute(query, (status, identity)).rowcount):
            raise NotFound("warning", identity)

    async def delete(self, identity: str) -> None:
        """Remove a warning. Raises NotFound."""
        query = "delete from warnings where uuid = ?"
        if not await self._database.write(lambda connection: connection.execute(query, (identity,)).rowcount):
            raise NotFound("warning", identity)


def _view(row: sqlite3.Row) -> Warning:
    return Warning(
        uuid=row["uuid"],
        location="none",
        project=row["project"],
        type=row["type"],
        count=row["count"],
        first_seen_at=datetime.fromisoformat(row["first_seen_at"]),
        last_seen_at=datetime.fromisoformat(row["last_seen_at"]),
        last_message=row["last_message"],
        severity=row["severity"],
        status=row["status"],
        entity_url=row["entity_url"],
    )
