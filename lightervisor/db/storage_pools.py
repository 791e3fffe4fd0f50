"""Rows of storage pools. `state` is "pending" until the pool stands on disk, then "created"."""

import sqlite3

import msgspec

from lightervisor.db.database import Database
from lightervisor.errors import Conflict, NotFound

COLUMNS = "name, driver, description, config, state"


class PoolRow(msgspec.Struct, frozen=True, kw_only=True):
    """One pool as it is stored."""

    name: str
    driver: str
    description: str = ""
    config: dict[str, str] = {}
    state: str = "pending"


class PoolRows:
    """All SQL about pools."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> PoolRow:
        """One pool. Raises NotFound."""
        query = f"select {COLUMNS} from storage_pools where name = ?"
        found = self._database.reader.execute(query, (name,)).fetchone()
        if found is None:
            raise NotFound("storage pool", name)
        return _row(found)

    def list(self) -> list[PoolRow]:
        """All pools, by name."""
        query = f"select {COLUMNS} from storage_pools order by name"
        return [_row(row) for row in self._database.reader.execute(query)]

    async def add(self, row: PoolRow) -> None:
        """Store a new pool. Raises Conflict when the name is taken."""
        values = (row.name, row.driver, row.description, msgspec.json.encode(row.config).decode(), row.state)
        query = f"insert into storage_pools ({COLUMNS}) values (?, ?, ?, ?, ?)"
        try:
            await self._database.write(lambda connection: connection.execute(query, values))
        except sqlite3.IntegrityError as error:
            raise Conflict("storage pool", row.name, text="The storage pool already exists") from error

    async def replace(self, row: PoolRow) -> None:
        """Store description and config again."""
        values = (row.description, msgspec.json.encode(row.config).decode(), row.name)
        query = "update storage_pools set description = ?, config = ? where name = ?"
        await self._database.write(lambda connection: connection.execute(query, values))

    async def set_state(self, name: str, state: str) -> None:
        """Note that a pool stands."""
        query = "update storage_pools set state = ? where name = ?"
        await self._database.write(lambda connection: connection.execute(query, (state, name)))

    async def delete(self, name: str) -> None:
        """Forget a pool."""
        query = "delete from storage_pools where name = ?"
        await self._database.write(lambda connection: connection.execute(query, (name,)))


def _row(values: sqlite3.Row) -> PoolRow:
    return PoolRow(
        name=values[0],
        driver=values[1],
        description=values[2],
        config=msgspec.json.decode(values[3], type=dict[str, str]),
        state=values[4],
    )
