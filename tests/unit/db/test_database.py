"""The database: whole transactions, upgrades that keep a copy, no writes through the reader."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.db.database import Database
from lightervisor.errors import Unavailable


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    folder = tmp_path / "schema"
    folder.mkdir()
    (folder / "001_notes.sql").write_text("create table notes (text not null);\ninsert into notes values ('first')")
    return folder


@pytest.fixture
def database(tmp_path: Path, schema: Path) -> Iterator[Database]:
    made = Database(tmp_path / "state" / "database")
    made.open(schema)
    yield made
    made.close()


def notes(database: Database) -> list[str]:
    return [row["text"] for row in database.reader.execute("select text from notes order by rowid")]


async def test_a_change_is_there_when_the_write_returns(database: Database) -> None:
    await database.write(lambda connection: connection.execute("insert into notes values ('second')"))
    assert notes(database) == ["first", "second"]


async def test_a_change_that_fails_changes_nothing(database: Database) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("insert into notes values ('second')")
        connection.execute("insert into notes values (null)")

    with pytest.raises(sqlite3.IntegrityError):
        await database.write(change)
    assert notes(database) == ["first"]
    await database.write(lambda connection: connection.execute("insert into notes values ('third')"))
    assert notes(database) == ["first", "third"]


def test_the_reader_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError):
        database.reader.execute("insert into notes values ('x')")


async def test_a_closed_database_says_so(tmp_path: Path, schema: Path) -> None:
    database = Database(tmp_path / "database")
    database.open(schema)
    database.close()
    database.close()
    with pytest.raises(Unavailable):
        _ = database.reader


def test_an_upgrade_runs_only_what_is_new_and_keeps_a_copy(tmp_path: Path, schema: Path) -> None:
    path = tmp_path / "database"
    for _ in range(2):
        database = Database(path)
        database.open(schema)
        assert notes(database) == ["first"]
        database.close()
    assert not path.with_suffix(".bak").exists()
    (schema / "002_more.sql").write_text("alter table notes add column author text")
    database = Database(path)
    database.open(schema)
    assert database.reader.execute("select author from notes").fetchone()[0] is None
    database.close()
    before = sqlite3.connect(path.with_suffix(".bak"))
    assert [row[1] for row in before.execute("pragma table_info(notes)")] == ["text"]
    before.close()


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path: Path, schema: Path) -> None:
    path = tmp_path / "database"
    database = Database(path)
    database.open(schema)
    database.close()
    (schema / "002_bad.sql").write_text("insert into notes values ('half');\nnonsense")
    with pytest.raises(sqlite3.OperationalError):
        Database(path).open(schema)
    (schema / "002_bad.sql").unlink()
    database = Database(path)
    database.open(schema)
    assert notes(database) == ["first"]
    database.close()


def test_only_root_reads_it(database: Database, tmp_path: Path) -> None:
    assert (tmp_path / "state" / "database").stat().st_mode & 0o077 == 0
