"""Undo that survives a dead daemon.

Each step is noted with the name and arguments of its undo before it runs. An undo is told "this may have
happened": it is idempotent. Whatever is still noted when the daemon starts is undone then, last step first.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

from lightervisor.db import journal as rows
from lightervisor.db.database import Database
from lightervisor.db.journal import JournalRow

Undo = Callable[[Mapping[str, str]], Awaitable[None]]
log = logging.getLogger(__name__)


class Journal:
    """The noted steps and the undo actions, by name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._undos: dict[str, Undo] = {}

    def register(self, name: str, undo: Undo) -> None:
        """Give the action behind an undo's name. Raises ValueError for a second action of that name."""
        if name in self._undos:
            raise ValueError(f"undo {name} is registered twice")
        self._undos[name] = undo

    async def note(self, row: JournalRow) -> None:
        """Write down a step before it runs; its undo must be registered."""
        if row.undo not in self._undos:
            raise KeyError(row.undo)
        await self._database.write(lambda connection: rows.add(connection, row))

    async def settle(self, operation: str) -> None:
        """The operation is whole: nothing of it will be undone."""
        await self._database.write(lambda connection: rows.clear(connection, operation))

    async def undo(self, steps: list[JournalRow]) -> None:
        """Undo the steps of one operation, given last first, and forget it.

        A step whose undo fails is logged and stays noted, to be tried again at the next start.
        """
        failed = False
        for step in steps:
            try:
                await self._undos[step.undo](step.arguments)
            except Exception:
                failed = True
                log.exception(
                    "undo %s failed, it is tried again at the next start (operation %s)", step.undo, step.operation
                )
        if steps and not failed:
            await self.settle(steps[0].operation)

    async def undo_left(self, undo: str, about: Mapping[str, str]) -> bool:
        """Undo once more whole operations that have ended and noted such a step; whether none is left.

        `about` are arguments that the step has. Who holds the lock of what they name knows that they have ended.
        """
        left: dict[str, list[JournalRow]] = {}
        for row in rows.unfinished(self._database.reader):
            left.setdefault(row.operation, []).append(row)
        for steps in left.values():
            if any(step.undo == undo and about.items() <= step.arguments.items() for step in steps):
                await self.undo(steps)
                if any(row.operation == steps[0].operation for row in rows.unfinished(self._database.reader)):
                    return False
        return True

    async def recover(self) -> int:
        """Undo what a dead daemon left unfinished; the number of operations concerned."""
        by_operation: dict[str, list[JournalRow]] = {}
        for row in rows.unfinished(self._database.reader):
            by_operation.setdefault(row.operation, []).append(row)
        for operation, steps in by_operation.items():
            log.warning("undoing operation %s, which the daemon did not finish", operation)
            await self.undo(steps)
        return len(by_operation)
