"""Waiting for readers who are about to end."""

from __future__ import annotations

import asyncio

import pytest

from lightervisor.operations import readers
from lightervisor.operations.readers import Departures


def test_nobody_is_not_waited_for() -> None:
    asyncio.run(asyncio.wait_for(Departures().until(lambda: True), 1))


def test_the_last_one_is_waited_for() -> None:
    async def work() -> list[str]:
        departures, reading, said = Departures(), {"a", "b"}, list[str]()

        async def read(name: str) -> None:
            reading.discard(name)
            said.append(name)
            departures.happened()

        waiting = asyncio.create_task(departures.until(lambda: not reading))
        await asyncio.sleep(0)
        for name in ("a", "b"):
            assert not waiting.done()
            await read(name)
            await asyncio.sleep(0)
        await waiting
        return said

    assert asyncio.run(work()) == ["a", "b"]


def test_who_reads_for_long_is_not_waited_for_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PATIENCE_S", 0.01)
    asyncio.run(asyncio.wait_for(Departures().until(lambda: False), 5))
