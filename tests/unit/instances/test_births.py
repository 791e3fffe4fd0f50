"""What the undo of a creation may remove: not an instance that came by its name since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from lightervisor.instances.births import Births
from tests.unit.instances.test_moving import ROW, Told

ARGUMENTS = {
    "project": "default",
    "name": "c1",
    "pool": "old",
    "uuid": "1",
    "created_at": ROW.created_at.isoformat(),
}


@pytest.mark.parametrize(
    ("row", "removed"),
    [
        (ROW, ["forget", "delete", "delete old"]),
        # The second attempt of a move, which brings the same identity along.
        (msgspec.structs.replace(ROW, created_at=datetime.now(UTC) + timedelta(seconds=1)), []),
        (msgspec.structs.replace(ROW, config={"volatile.uuid": "2"}), []),
    ],
)
async def test_only_what_that_attempt_made_goes(row: Any, removed: list[str]) -> None:
    calls: list[str] = []
    rows, boot, volumes = Told(calls, get=lambda *_: row), Told(calls), Told(calls)
    births = Births(*cast("tuple[Any, ...]", (rows, None, SimpleNamespace(), None, boot, volumes)))
    await births.undo(ARGUMENTS)
    assert calls == removed
