"""Threads for work on the files of guests, whose file systems may never answer (FUSE).

Each guest has a few at a time, so that one that does not answer uses up its own and nobody else's; the daemon's end
waits for none of them. They are kept for the next work, as `asyncio.to_thread` keeps its own.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from lightervisor.errors import HostError

Answer = TypeVar("Answer")
MOST, KEPT, PATIENCE_S = 8, 8, 30.0
Job = Callable[[], None]


class GuestThreads:
    """All threads; to be used on one loop."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        """`patience_s` is how long to wait for one of a guest's threads."""
        self._patience_s = patience_s
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._idle: list[queue.SimpleQueue[Job | None]] = []

    async def run(self, guest: str, function: Callable[..., Answer], /, *arguments: Any) -> Answer:
        """What a function returns that works on the files of a guest. Raises what it raises, and HostError.

        A cancellation leaves it alone: it is done to its end, and its answer dropped.
        """
        slots = self._slots.setdefault(guest, asyncio.Semaphore(MOST))
        try:
            async with asyncio.timeout(self._patience_s):
                await slots.acquire()
        except TimeoutError as error:
            cause = f"{MOST} requests for its files are waiting for a file system inside that does not answer"
            raise HostError("instance", guest, cause=cause, remedy=f"lxc stop --force {guest}") from error
        return await self._begin(slots.release, partial(function, *arguments))

    async def close(self, descriptor: int) -> None:
        """Close a descriptor, which may wait for its file system, too; a thread for it can always be had."""
        await self._begin(lambda: None, partial(os.close, descriptor))

    def _begin(self, then: Callable[[], None], function: Callable[[], Answer]) -> "asyncio.Future[Answer]":
        """Have a function called on a thread, and something else on the loop when it is done."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()

        def finish(tell: Callable[[], None]) -> None:
            then()
            if not answer.cancelled():
                tell()
            if len(self._idle) < KEPT:
                self._idle.append(jobs)
            else:
                jobs.put(None)

        def job() -> None:
            try:
                tell: Callable[[], None] = partial(answer.set_result, function())
            except BaseException as error:  # noqa: BLE001 - carried to who waits for it
                tell = partial(answer.set_exception, error)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(finish, tell)

        jobs = self._idle.pop() if self._idle else _worker()
        jobs.put(job)
        return answer


def _worker() -> "queue.SimpleQueue[Job | None]":
    """A new thread that does what is put here, until it is None."""
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def work() -> None:
        while (job := jobs.get()) is not None:
            job()

    threading.Thread(target=work, name="guest", daemon=True).start()
    return jobs
