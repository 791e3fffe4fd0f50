"""Rows of the server's own configuration."""

import sqlite3
from collections.abc import Mapping

from lightervisor.db.database import Database


class ServerConfigRows:
    """All SQL about server keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, str]:
        """Every key that is set."""
        return dict(self._database.reader.execute("select key, value from server_config order by key").fetchall())

    async def replace(self, config: Mapping[str, str]) -> None:
        """Store exactly these keys."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("delete from server_config")
            connection.executemany("insert into server_config values (?, ?)", list(config.items()))

        await self._database.write(change)
