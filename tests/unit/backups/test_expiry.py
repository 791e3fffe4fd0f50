"""Backups whose time has come are deleted; one that cannot be is told of and holds up no other."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lightervisor.backups.expiry import BackupExpiry, Ended
from lightervisor.errors import Conflict, NotFound
from lightervisor.model.operation import Operation

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class FakeOperations:
    """Each operation has ended when it is waited for, with the error that its id is."""

    async def wait(self, identity: str, _timeout_s: float | None) -> Any:
        return SimpleNamespace(err=identity)


async def test_what_cannot_be_deleted_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    deleted: list[str] = []

    def ended(name: str, *, error: str = "", failure: Exception | None = None) -> Ended:
        def delete() -> Operation:
            if failure is not None:
                raise failure
            deleted.append(name)
            return cast("Operation", SimpleNamespace(id=error))

        return Ended(name, delete)

    def of_instances(moment: datetime) -> list[Ended]:
        assert moment == MOMENT
        gone, busy = NotFound("backup", "gone"), Conflict("backup", "busy", text="It is busy")
        return [ended("gone", failure=gone), ended("busy", failure=busy), ended("full", error="No space left")]

    expiry = BackupExpiry(cast("Any", FakeOperations()), [of_instances, lambda _moment: [ended("of a volume")]])
    with caplog.at_level(logging.WARNING):
        await expiry.look(MOMENT)
    assert deleted == ["full", "of a volume"]
    assert [record.getMessage() for record in caplog.records] == [
        "busy has ended and is still there: It is busy",
        "full has ended and is still there: No space left",
    ]
