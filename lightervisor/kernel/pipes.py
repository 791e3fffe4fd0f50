"""Reading a pipe on the event loop, at the reader's pace."""

import asyncio
import contextlib
import fcntl
import os
from types import TracebackType

LARGEST = 1 << 20


class PipeReader:
    """The reading end of a pipe, which is closed at the end of the context.

    Who writes to it sees then that nobody reads any more.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def __aenter__(self) -> "PipeReader":
        os.set_blocking(self._descriptor, False)
        with contextlib.suppress(OSError):  # there is a limit for each user
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, LARGEST)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    async def read(self, most: int) -> bytes:
        """What is there, up to so many bytes; nothing at the end."""
        while True:
            try:
                return os.read(self._descriptor, most)
            except BlockingIOError:
                await self._readable()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._descriptor, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)
