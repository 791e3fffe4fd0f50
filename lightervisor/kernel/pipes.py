"""Reading and writing pipes on the event loop, at the pace of who is at the other end."""

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


class PipeWriter:
    """The writing end of a pipe. Who reads sees the end of it when it is closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError):  # there is a limit for each user
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, LARGEST)

    def close(self) -> None:
        """No more is to come; may be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def write(self, block: bytes | bytearray) -> None:
        """All of it. Raises BrokenPipeError when nobody reads any more."""
        if self._descriptor is None:
            raise BrokenPipeError
        view = memoryview(block)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                await self._writable(self._descriptor)

    async def _writable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(descriptor, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_writer(descriptor)
