"""Copies that may take long: their progress is told, and they end when their operation is cancelled."""

import asyncio
import functools
import time
from collections.abc import Callable

from lightervisor.kernel.copies import Watch
from lightervisor.kernel.threads import interruptible
from lightervisor.operations.operations import Run

Told = Callable[[str], None]


async def watched(label: str, told: Told, work: Callable[..., None], *arguments: object) -> None:
    """Call a blocking function with a `watch`; `told` is given lines of progress as LXD has them. Raises its errors."""
    loop, begun = asyncio.get_running_loop(), time.monotonic()

    def tell(written: int) -> None:
        speed = written / max(time.monotonic() - begun, 0.001)
        loop.call_soon_threadsafe(told, f"{label}: {written / 1e6:.2f}MB ({speed / 1e6:.2f}MB/s)")

    watch = Watch(tell)
    await interruptible(watch.cancel, functools.partial(work, *arguments, watch=watch))


def shown(run: Run) -> Told:
    """Progress as LXD's clients look for it."""
    return lambda text: run.progress("fs_progress", text)
