"""Work that several wait for."""

from __future__ import annotations

import asyncio

import pytest

from lightervisor.images.meter import Progress
from lightervisor.images.shared import Shared


class Work:
    """Something that takes until it is let go, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.was_cancelled = False
        self.go = asyncio.Event()

    async def __call__(self, tell: Progress) -> int:
        self.begun += 1
        tell(f"begun {self.begun}")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        tell("ended")
        return self.begun


async def joined(shared: Shared[int], work: Work, key: str = "a") -> tuple[asyncio.Task[int], list[str]]:
    """Ask for the work; what was told so far is there."""
    heard: list[str] = []
    arrived = asyncio.Event()

    def hear(text: str) -> None:
        heard.append(text)
        arrived.set()

    task = asyncio.create_task(shared.run(key, work, hear))
    await asyncio.wait_for(arrived.wait(), 5)
    return task, heard


async def test_it_is_done_once_and_all_hear_of_it() -> None:
    shared, work = Shared[int](), Work()
    first, heard = await joined(shared, work)
    second, heard_later = await joined(shared, work)
    work.go.set()
    assert (await first, await second, work.begun) == (1, 1, 1)
    assert heard == heard_later == ["begun 1", "ended"]
    third, _ = await joined(shared, work)
    assert await third == 2, "what has ended is not shared"


async def test_different_work_is_not_shared() -> None:
    shared, work, other = Shared[int](), Work(), Work()
    first, _ = await joined(shared, work)
    second, _ = await joined(shared, other, "b")
    work.go.set()
    other.go.set()
    await asyncio.gather(first, second)
    assert (work.begun, other.begun) == (1, 1)


async def test_it_goes_on_while_somebody_waits() -> None:
    shared, work = Shared[int](), Work()
    first, _ = await joined(shared, work)
    second, _ = await joined(shared, work)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not work.was_cancelled
    work.go.set()
    assert await second == 1


async def test_it_ends_with_the_last_who_waits() -> None:
    shared, work = Shared[int](), Work()
    first, _ = await joined(shared, work)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert work.was_cancelled
    work.go.set()
    again, _ = await joined(shared, work)
    assert await again == 2


async def test_all_hear_of_a_failure() -> None:
    shared, go = Shared[int](), asyncio.Event()

    async def fail(tell: Progress) -> int:
        tell("begun")
        await go.wait()
        raise ValueError("broken")

    tasks = [asyncio.create_task(shared.run("a", fail, lambda _text: None)) for _ in range(2)]
    go.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(one) for one in outcomes] == ["broken", "broken"]
