"""Rows of certificates: the clients that are trusted."""

import sqlite3

import msgspec

from lightervisor.db.database import Database
from lightervisor.errors import Conflict, NotFound, PreconditionFailed

_decode_projects = msgspec.json.Decoder(list[str]).decode
COLUMNS = "fingerprint, type, name, certificate, restricted, projects"


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One trusted certificate; `fingerprint` is the sha256 of its DER form, `certificate` its PEM text."""

    fingerprint: str
    type: str
    name: str
    certificate: str
    restricted: bool = False
    projects: tuple[str, ...] = ()


def _row(values: sqlite3.Row) -> CertificateRow:
    return CertificateRow(
        fingerprint=values[0],
        type=values[1],
        name=values[2],
        certificate=values[3],
        restricted=bool(values[4]),
        projects=tuple(_decode_projects(values[5])),
    )


def _values(row: CertificateRow) -> tuple[str | int, ...]:
    projects = msgspec.json.encode(row.projects).decode()
    return row.fingerprint, row.type, row.name, row.certificate, int(row.restricted), projects


class CertificateRows:
    """All SQL about certificates."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[CertificateRow]:
        """Every certificate, by fingerprint."""
        found = self._database.reader.execute(f"select {COLUMNS} from certificates order by fingerprint")
        return [_row(row) for row in found]

    async def add(self, row: CertificateRow) -> None:
        """Store a new certificate. Raises Conflict with LXD's text when it is there already."""
        try:
            await self._database.write(
                lambda connection: connection.execute(
                    f"insert into certificates ({COLUMNS}) values (?, ?, ?, ?, ?, ?)", _values(row)
                )
            )
        except sqlite3.IntegrityError as error:
            raise Conflict("certificate", row.fingerprint, text="Certificate already in trust store") from error

    async def replace(self, present: CertificateRow, row: CertificateRow) -> None:
        """Store a certificate in the place of another, or again.

        Raises Conflict when the new one is there already, PreconditionFailed when `present` is there no longer: who
        was restricted or removed meanwhile must not bring back what was.
        """
        try:
            count = await self._database.write(
                lambda connection: (
                    connection.execute(
                        "update certificates set fingerprint = ?, type = ?, name = ?, certificate = ?, restricted = ?,"
                        f" projects = ? where ({COLUMNS}) = (?, ?, ?, ?, ?, ?)",
                        (*_values(row), *_values(present)),
                    ).rowcount
                )
            )
        except sqlite3.IntegrityError as error:
            raise Conflict("certificate", row.fingerprint, text="Certificate already in trust store") from error
        if not count:
            raise PreconditionFailed("certificate", present.fingerprint)

    async def delete(self, fingerprint: str) -> None:
        """Forget a certificate. Raises NotFound: it may have been renewed meanwhile, and so be another one now."""
        query = "delete from certificates where fingerprint = ?"
        if not await self._database.write(lambda connection: connection.execute(query, (fingerprint,)).rowcount):
            raise NotFound("certificate", fingerprint)
