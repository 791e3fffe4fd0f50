"""Rows of the operation journal: what must be undone if the daemon dies in the middle."""

import sqlite3
from typing import NamedTuple

import msgspec


class JournalRow(NamedTuple):
    """One step that was begun: the undo to call and its arguments."""

    operation: str
    step: int
    undo: str
    arguments: dict[str, str]


def add(connection: sqlite3.Connection, row: JournalRow) -> None:
    """Note a step before it runs."""
    connection.execute(
        "insert into operation_journal (operation, step, undo, arguments) values (?, ?, ?, ?)",
        (row.operation, row.step, row.undo, msgspec.json.encode(row.arguments).decode()),
    )


def clear(connection: sqlite3.Connection, operation: str) -> None:
    """Forget an operation: it is whole, or entirely undone."""
    connection.execute("delete from operation_journal where operation = ?", (operation,))


def unfinished(connection: sqlite3.Connection) -> list[JournalRow]:
    """Every begun step of operations that never ended, the last step of each first."""
    rows = connection.execute("select operation, step, undo, arguments from operation_journal order by id desc")
    return [JournalRow(r[0], r[1], r[2], msgspec.json.decode(r[3], type=dict[str, str])) for r in rows]
