"""Work that is not left half done when its operation is cancelled.

Cancelling a coroutine that awaits a thread does not stop the thread: what is undone meanwhile would be done again
behind its back. So such work is awaited to its end, and only then the cancellation goes on.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Any, TypeVar

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


async def finished(work: Awaitable[Answer]) -> Answer:
    """Wait for work to its end. A cancellation is raised after that, and then a failure of the work is logged."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("failed while it was being cancelled: %s", error)
        raise


async def in_thread(function: Callable[..., Answer], /, *arguments: Any) -> Answer:
    """As asyncio.to_thread, for what changes the host: see `finished`."""
    return await finished(asyncio.to_thread(function, *arguments))


async def interruptible(cancel: Callable[[], None], function: Callable[..., Answer], /, *arguments: Any) -> Answer:
    """As `in_thread`, for what may take long: a cancellation calls `cancel`, which makes the function end soon."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancel()
        with suppress(asyncio.CancelledError):
            await finished(asyncio.wait([task]))
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("ended by its cancellation: %s", error)
        raise


@asynccontextmanager
async def entered(context: AbstractContextManager[Answer]) -> AsyncGenerator[Answer, None]:
    """A context whose two ends take long, each on a worker thread. It is left also when entering it was cancelled."""
    entering = asyncio.ensure_future(asyncio.to_thread(context.__enter__))
    try:
        value = await finished(entering)
    except asyncio.CancelledError as cancelled:
        if not entering.cancelled() and entering.exception() is None:
            await finished(asyncio.to_thread(context.__exit__, type(cancelled), cancelled, cancelled.__traceback__))
        raise
    try:
        yield value
    except BaseException as error:
        await finished(asyncio.to_thread(context.__exit__, type(error), error, error.__traceback__))
        raise
    await finished(asyncio.to_thread(context.__exit__, None, None, None))
