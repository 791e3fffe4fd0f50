"""Rows of profiles."""

import sqlite3

import msgspec

from lightervisor.db.database import Database
from lightervisor.errors import Conflict, Failure, NotFound

_decode_map = msgspec.json.Decoder(dict[str, str]).decode
_decode_devices = msgspec.json.Decoder(dict[str, dict[str, str]]).decode
COLUMNS = "project, name, description, config, devices"


class ProfileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One profile as it is stored."""

    project: str
    name: str
    description: str = ""
    config: dict[str, str] = {}
    devices: dict[str, dict[str, str]] = {}


def _row(values: sqlite3.Row) -> ProfileRow:
    return ProfileRow(
        project=values[0],
        name=values[1],
        description=values[2],
        config=_decode_map(values[3]),
        devices=_decode_devices(values[4]),
    )


class ProfileRows:
    """All SQL about profiles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, project: str, name: str) -> ProfileRow | None:
        """One profile, or None."""
        query = f"select {COLUMNS} from profiles where project = ? and name = ?"
        found = self._database.reader.execute(query, (project, name)).fetchone()
        return None if found is None else _row(found)

    def get(self, project: str, name: str) -> ProfileRow:
        """One profile. Raises NotFound with LXD's text."""
        if (found := self.find(project, name)) is None:
            raise NotFound("profile", name, text="Fetch profile: Profile not found")
        return found

    def list(self, project: str) -> list[ProfileRow]:
        """All profiles of a project, by name."""
        query = f"select {COLUMNS} from profiles where project = ? order by name"
        return [_row(row) for row in self._database.reader.execute(query, (project,))]

    async def add(self, row: ProfileRow) -> None:
        """Store a new profile. Fails with LXD's code and text when the name is taken."""
        try:
            await self._database.write(
                lambda connection: connection.execute(
                    f"insert into profiles ({COLUMNS}) values (?, ?, ?, ?, ?)",
                    (row.project, row.name, row.description, *_columns(row)),
                )
            )
        except sqlite3.IntegrityError as error:
            text = f'Error inserting "{row.name}" into database: The profile already exists'
            raise Failure("profile", row.name, text=text) from error

    async def replace(self, row: ProfileRow) -> None:
        """Store description, config and devices of a profile again."""
        await self._database.write(
            lambda connection: connection.execute(
                "update profiles set description = ?, config = ?, devices = ? where project = ? and name = ?",
                (row.description, *_columns(row), row.project, row.name),
            )
        )

    async def rename(self, project: str, name: str, new_name: str) -> None:
        """Give a profile another name, in the instances that use it too. Raises Conflict when it is taken."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("update profiles set name = ? where project = ? and name = ?", (new_name, project, name))
            users = connection.execute("select id, profiles from instances where project = ?", (project,)).fetchall()
            for user, names in users:
                used: list[str] = msgspec.json.decode(names)
                if name in used:
                    renamed = [new_name if one == name else one for one in used]
                    value = msgspec.json.encode(renamed).decode()
                    connection.execute("update instances set profiles = ? where id = ?", (value, user))

        try:
            await self._database.write(change)
        except sqlite3.IntegrityError as error:
            raise Conflict("profile", new_name, text=f'Name "{new_name}" already in use') from error

    async def delete(self, project: str, name: str) -> None:
        """Forget a profile."""
        await self._database.write(
            lambda connection: connection.execute(
                "delete from profiles where project = ? and name = ?", (project, name)
            )
        )


def _columns(row: ProfileRow) -> tuple[str, str]:
    return msgspec.json.encode(row.config).decode(), msgspec.json.encode(row.devices).decode()
