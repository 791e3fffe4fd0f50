"""Work that is looked for once in each minute."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from lightervisor.model.times import now


async def each_minute(look: Callable[[datetime], Awaitable[None]]) -> None:
    """For ever: look at the beginning of each minute, also while what was found before is still being done."""
    passes: set[asyncio.Task[None]] = set()

    async def once(moment: datetime) -> None:
        await look(moment)

    try:
        while True:
            moment = now()
            following = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
            await asyncio.sleep((following - moment).total_seconds())
            work = asyncio.create_task(once(following))
            passes.add(work)
            work.add_done_callback(passes.discard)
    finally:
        for work in passes:
            work.cancel()
