"""SQLite: one writer thread with durable commits, one reader connection for short reads on the loop.

Recipe and numbers: docs/adr (WAL, synchronous=FULL, `begin immediate` on one thread, short reads inline).
The schema is a folder of numbered SQL files; a backup of the file is kept before each upgrade.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from lightervisor.errors import HostError, Unavailable
from lightervisor.kernel.threads import finished

Answer = TypeVar("Answer")
SCHEMA = Path(__file__).parent / "schema"


class Database:
    """The daemon's database file. `open()` before use, `close()` at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="db-writer")

    def open(self, schema: Path = SCHEMA) -> None:
        """Create or upgrade the file and connect. Raises sqlite3.DatabaseError when it is not a database."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = _connect(self._path)
        _upgrade(self._writer, self._path, schema)
        self._path.chmod(0o600)
        self._reader = _connect(self._path)
        self._reader.execute("pragma query_only=on")

    def close(self) -> None:
        """Finish what is being written and disconnect; safe to call twice."""
        self._thread.shutdown(wait=True)
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection for short reads, to be used on the loop's thread only."""
        if self._reader is None:
            raise Unavailable("database", cause="is closed")
        return self._reader

    async def write(self, change: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Run a change in one durable transaction on the writer thread.

        The change is committed when this returns and undone when it raises, but when it was cancelled: then one of
        the two is done. Raises HostError when the file cannot be written.
        """
        try:
            return await finished(asyncio.get_running_loop().run_in_executor(self._thread, self._transact, change))
        except sqlite3.OperationalError as error:
            remedy = f"look at the file system of {self._path}"
            raise HostError("database", cause=str(error), remedy=remedy) from error

    def _transact(self, change: Callable[[sqlite3.Connection], Answer]) -> Answer:
        connection = self._writer
        if connection is None:
            raise Unavailable("database", cause="is closed")
        connection.execute("begin immediate")
        try:
            answer = change(connection)
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
        return answer


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    for pragma in ("journal_mode=wal", "synchronous=full", "foreign_keys=on", "busy_timeout=10000"):
        connection.execute(f"pragma {pragma}")
    return connection


def _upgrade(connection: sqlite3.Connection, path: Path, schema: Path) -> None:
    connection.execute("create table if not exists schema_steps (name text primary key, applied_at text not null)")
    applied = {row[0] for row in connection.execute("select name from schema_steps")}
    missing = [step for step in sorted(schema.glob("*.sql")) if step.stem not in applied]
    if missing and applied:
        with sqlite3.connect(path.with_suffix(".bak")) as backup:
            connection.backup(backup)
    for step in missing:
        connection.execute("begin immediate")
        try:
            for statement in step.read_text().split(";\n"):
                connection.execute(statement)
            connection.execute("insert into schema_steps values (?, datetime('now'))", (step.stem,))
        except sqlite3.Error:
            connection.rollback()
            raise
        connection.commit()
