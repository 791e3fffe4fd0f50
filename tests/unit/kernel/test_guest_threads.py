"""Work on the files of guests that do not answer uses up what is theirs, and nothing of others."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from lightervisor.errors import HostError
from lightervisor.kernel.guest_threads import KEPT, MOST, GuestThreads


async def test_answers_and_failures_come_back() -> None:
    threads = GuestThreads()
    assert await threads.run("c1", divmod, 7, 2) == (3, 1)
    with pytest.raises(FileNotFoundError):
        await threads.run("c1", open, "/nonexistent")


async def test_one_that_does_not_answer_holds_up_nobody_else() -> None:
    threads, released = GuestThreads(patience_s=0.1), threading.Event()
    stuck = [asyncio.create_task(threads.run("c1", released.wait)) for _ in range(MOST)]
    await asyncio.sleep(0)
    with pytest.raises(HostError, match="does not answer"):
        await threads.run("c1", time.monotonic)
    assert await asyncio.gather(*(threads.run("c2", abs, -n) for n in range(50))) == list(range(50))
    released.set()
    assert await asyncio.gather(*stuck) == [True] * MOST
    assert await threads.run("c1", abs, -1) == 1


async def test_a_cancelled_wait_gives_its_place_back_when_the_work_is_done() -> None:
    threads, released = GuestThreads(patience_s=0.1), threading.Event()
    stuck = [asyncio.create_task(threads.run("c1", released.wait)) for _ in range(MOST)]
    await asyncio.sleep(0)
    for task in stuck:
        task.cancel()
    await asyncio.wait(stuck)
    with pytest.raises(HostError):
        await threads.run("c1", abs, 1)
    released.set()
    async with asyncio.timeout(10):
        while True:
            try:
                assert await threads.run("c1", abs, 1) == 1
            except HostError:
                continue
            break


async def test_threads_are_kept_and_not_hoarded() -> None:
    threads = GuestThreads()

    def count() -> int:
        return sum(thread.name == "guest" for thread in threading.enumerate())

    before = count()
    for number in range(10):
        await asyncio.gather(*(threads.run(f"c{one}", time.sleep, 0.001) for one in range(3 * MOST)))
        assert await threads.run("c1", abs, -number) == number
    async with asyncio.timeout(10):
        while count() - before > KEPT:  # noqa: ASYNC110  # threads tell nobody of their end
            await asyncio.sleep(0.01)
