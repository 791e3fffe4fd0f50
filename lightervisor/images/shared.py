"""Work that several wait for is done once. Whoever comes later hears what was said last and waits with the others.

When the last of them is cancelled, so is the work.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from lightervisor.images.meter import Progress

Answer = TypeVar("Answer")


class _Job(Generic[Answer]):
    """One piece of work that goes on, and those who wait for it."""

    def __init__(self, work: Callable[[Progress], Awaitable[Answer]], name: str) -> None:
        self.listeners: list[Progress] = []
        self.said = ""
        self.task: asyncio.Task[Answer] = asyncio.create_task(self._run(work), name=name)

    async def _run(self, work: Callable[[Progress], Awaitable[Answer]]) -> Answer:
        return await work(self._tell)

    def _tell(self, text: str) -> None:
        self.said = text
        for listener in list(self.listeners):
            listener(text)


class Shared(Generic[Answer]):
    """Pieces of work by what they are about."""

    def __init__(self) -> None:
        self._running: dict[str, _Job[Answer]] = {}

    async def run(self, key: str, work: Callable[[Progress], Awaitable[Answer]], progress: Progress) -> Answer:
        """The outcome of the work with this key, which is begun unless it goes on."""
        job = self._running.get(key)
        if job is None:
            job = self._running[key] = _Job(work, f"shared {key}")
            job.task.add_done_callback(lambda _, job=job: self._forget(key, job))
        job.listeners.append(progress)
        if job.said:
            progress(job.said)
        try:
            return await asyncio.shield(job.task)
        except asyncio.CancelledError:
            job.listeners.remove(progress)
            if not job.listeners and not job.task.done():
                self._forget(key, job)  # whoever asks from now on begins anew
                job.task.cancel()
                await asyncio.wait([job.task])
            raise

    def _forget(self, key: str, job: _Job[Answer]) -> None:
        if self._running.get(key) is job:
            del self._running[key]
