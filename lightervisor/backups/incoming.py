"""A backup that a client sends, on its way in: unpacked while it comes.

Its index, which comes first in LXD's backups and ours, says where it is to go; then all goes through tar into a
directory of that pool's trash, where it is nobody's. What has another order, or owners of several id maps, which take a
reading for each, is received into a file first. Nothing is left of what breaks off.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from lightervisor.backups.archive import (
    LARGEST,
    Part,
    Spooled,
    Unpacked,
    Upload,
    about_backups,
    parsed,
    tar_beginning,
)
from lightervisor.backups.contents import INDEX
from lightervisor.backups.owners import shown_shifted
from lightervisor.errors import Failure
from lightervisor.images.formats.format import HEAD
from lightervisor.images.formats.tar import Tar
from lightervisor.images.meter import Limits, Meter
from lightervisor.images.tar_stream import Passing
from lightervisor.images.upload import Writer, pour
from lightervisor.kernel.pipes import PipeWriter
from lightervisor.kernel.threads import finished
from lightervisor.model.backup_file import BackupIndex
from lightervisor.storage.driver import StorageDriver


class Target(NamedTuple):
    """Where a backup is to be unpacked, and in which parts."""

    driver: StorageDriver
    parts: Sequence[Part]


Judge = Callable[[BackupIndex], Target]
"""Says where a backup with this index is to go; called once, on the event loop. Raises Failure to refuse it."""


async def receive(directory: Path, blocks: AsyncIterator[bytes], judge: Judge, limits: Limits) -> Upload:
    """Take a backup in; files that are needed meanwhile are made in a directory.

    Raises what `judge` raises, Invalid, and HostError when the disk is full, as soon as it can. What is wrong with the
    files in it is found by `Upload.opened`.
    """
    head = bytearray()
    while len(head) < HEAD and (block := await anext(blocks, b"")):
        head += block
    arrival = _Arrival(directory, tar_beginning(bytes(head)), judge, limits)
    return await arrival.receive(_together(bytes(head), blocks))


async def _together(head: bytes, blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield head
    async for block in blocks:
        yield block


class _SpoolError(Exception):
    """It has to be received whole first."""


class _Arrival:
    """One backup on its way: a thread unpacks what the event loop writes into a pipe.

    As long as it is not known whether that can be, all that comes is written to a file as well.
    """

    def __init__(self, directory: Path, form: Tar, judge: Judge, limits: Limits) -> None:
        self._directory, self._form, self._judge, self._limits = directory, form, judge, limits
        self._loop, self._stop = asyncio.get_running_loop(), threading.Event()
        self._target: Target | None = None
        self._goes_through = False
        self._size = 0

    async def receive(self, blocks: AsyncGenerator[bytes, None]) -> Upload:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        pipe, spool = PipeWriter(writing), Writer(self._directory / os.urandom(16).hex())
        thread = ThreadPoolExecutor(1, thread_name_prefix="backup")  # it waits for a client, however slow that is
        unpacking = asyncio.ensure_future(self._loop.run_in_executor(thread, self._unpack, reading))
        try:
            made = await self._fed(blocks, pipe, spool, unpacking)
            if made is not None:
                spool.abandon()
                if made.failure is None:  # what follows the end of an archive is padding
                    async for _ in blocks:
                        pass
                return made
            await pour(blocks, spool)
            return await self._spooled(spool)
        except BaseException:
            self._stop.set()
            pipe.close()
            with contextlib.suppress(asyncio.CancelledError):
                await finished(asyncio.wait([unpacking]))
            if not unpacking.cancelled() and unpacking.exception() is None and (made := unpacking.result()):
                made.discard()
            spool.abandon()
            raise
        finally:
            thread.shutdown(wait=False)

    async def _fed(
        self,
        blocks: AsyncGenerator[bytes, None],
        pipe: PipeWriter,
        spool: Writer,
        unpacking: asyncio.Future[Unpacked | None],
    ) -> Unpacked | None:
        """What became of all that came; as soon as that is known when it is a failure, however slow the client is."""
        feeding = asyncio.ensure_future(self._feed(blocks, pipe, spool))
        try:
            await asyncio.wait([feeding, unpacking], return_when=asyncio.FIRST_COMPLETED)
            if unpacking.done() and (made := unpacking.result()) is not None and made.failure is not None:
                return made
            await feeding
            pipe.close()
            return await asyncio.shield(unpacking)
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])

    async def _feed(self, blocks: AsyncGenerator[bytes, None], pipe: PipeWriter, spool: Writer) -> None:
        """What comes, to the end or until nobody reads it any more."""
        is_spooled = True
        async for block in blocks:
            self._size += len(block)
            if is_spooled and self._goes_through:
                spool.abandon()
                is_spooled = False
            if is_spooled:
                await finished(asyncio.to_thread(spool.write, block))
            try:
                await pipe.write(block)
            except BrokenPipeError:
                return

    async def _spooled(self, spool: Writer) -> Upload:
        found = Spooled((await asyncio.to_thread(spool.finish)).path)
        if self._target is None:
            self._target = self._judge(await asyncio.to_thread(found.index))
        return found

    # On the thread

    def _unpack(self, pipe: int) -> Unpacked | None:
        """What comes, unpacked; None when it is to be received whole first."""
        made: Unpacked | None = None
        try:
            with about_backups(), self._form.passing(pipe, self._directory, self._meter()) as passing:
                target = self._judged(passing)
                self._goes_through = True
                made = self._staged(passing, target)
        except _SpoolError:
            return None
        except Failure as failure:
            if self._target is None:
                raise
            if made is not None:
                made.discard()
            return Unpacked(self._target.driver, None, self._size, failure)
        finally:
            os.close(pipe)
        return made

    def _judged(self, passing: Passing) -> Target:
        text = passing.first(INDEX, largest=LARGEST)
        if text is None:
            raise _SpoolError
        target = asyncio.run_coroutine_threadsafe(self._ask(parsed(text)), self._loop).result()
        if len(target.parts) != 1:
            raise _SpoolError
        return target

    async def _ask(self, index: BackupIndex) -> Target:
        self._target = self._judge(index)
        return self._target

    def _staged(self, passing: Passing, target: Target) -> Unpacked:
        layout = target.driver.layout
        with layout.making("storage volume") as staged:
            with about_backups(), shown_shifted(layout.trash, staged, target.parts[0].idmap) as view:
                passing.unpack(view, self._meter(staged))
            kept = layout.trash.new()
            staged.rename(kept)
        return Unpacked(target.driver, kept, self._size, None)

    def _meter(self, target: Path | None = None) -> Meter:
        return Meter(lambda: self._size, target, limits=self._limits, stop=self._stop)
