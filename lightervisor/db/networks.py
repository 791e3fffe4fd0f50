"""Rows of managed networks. `state` is "pending" until the network stands for the first time, then "created"."""

import sqlite3
from collections.abc import Mapping

import msgspec

from lightervisor.db.database import Database
from lightervisor.errors import Conflict, Invalid, NotFound

_decode_map = msgspec.json.Decoder(dict[str, str]).decode
COLUMNS = "name, type, description, config, state"


class NetworkRow(msgspec.Struct, frozen=True, kw_only=True):
    """One managed network as it is stored."""

    name: str
    type: str = "bridge"
    description: str = ""
    config: dict[str, str] = {}
    state: str = "pending"


def _row(values: sqlite3.Row) -> NetworkRow:
    return NetworkRow(
        name=values[0], type=values[1], description=values[2], config=_decode_map(values[3]), state=values[4]
    )


def _json(config: Mapping[str, str]) -> str:
    return msgspec.json.encode(config).decode()


class NetworkRows:
    """All SQL about networks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, name: str) -> NetworkRow | None:
        """One network, or None."""
        query = f"select {COLUMNS} from networks where name = ?"
        found = self._database.reader.execute(query, (name,)).fetchone()
        return None if found is None else _row(found)

    def get(self, name: str) -> NetworkRow:
        """One network. Raises NotFound."""
        if (found := self.find(name)) is None:
            raise NotFound("network", name)
        return found

    def list(self) -> list[NetworkRow]:
        """All managed networks, by name."""
        return [_row(row) for row in self._database.reader.execute(f"select {COLUMNS} from networks order by name")]

    async def add(self, row: NetworkRow) -> None:
        """Store a new network. Raises Invalid with LXD's text when the name is taken."""
        values = (row.name, row.type, row.description, _json(row.config), row.state)
        query = f"insert into networks ({COLUMNS}) values (?, ?, ?, ?, ?)"
        try:
            await self._database.write(lambda connection: connection.execute(query, values))
        except sqlite3.IntegrityError as error:
            raise Invalid("network", row.name, text="The network already exists") from error

    async def replace(self, name: str, description: str, config: Mapping[str, str]) -> None:
        """Store description and configuration again."""
        query = "update networks set description = ?, config = ? where name = ?"
        await self._database.write(lambda connection: connection.execute(query, (description, _json(config), name)))

    async def set_state(self, name: str, state: str) -> None:
        """Note that a network stands, or that it is being removed."""
        query = "update networks set state = ? where name = ?"
        await self._database.write(lambda connection: connection.execute(query, (state, name)))

    async def rename(self, name: str, new_name: str) -> None:
        """Give a network another name. Raises Conflict when it is taken."""
        query = "update networks set name = ? where name = ?"
        try:
            await self._database.write(lambda connection: connection.execute(query, (new_name, name)))
        except sqlite3.IntegrityError as error:
            raise Conflict("network", new_name, text=f'Network "{new_name}" already exists') from error

    async def delete(self, name: str) -> None:
        """Forget a network."""
        await self._database.write(
            lambda connection: connection.execute("delete from networks where name = ?", (name,))
        )
