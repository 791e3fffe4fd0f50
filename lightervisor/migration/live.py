"""What processes have in memory, from one server to another. Source: LXD, migration with `live`; criu(8).

Files are sent while the instance runs; then it is dumped, and while nothing in it moves its memory is sent on the third
websocket, and what has changed in the files since. The other side brings the processes back, stores all of it for good
before it lets them go on, and says so. Only then they end here; their memory is kept until the instance is deleted.

From the end of the last stream on only the other side's word lets them go on here, and it looks before it commits
whether this side is still there. So they run at one place: where the other side goes without a word, they run at none,
and may be started where they are not. They are frozen here by then, and stay so when the daemon or criu is killed.
"""

import asyncio
import logging
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, Unavailable, Unsupported
from lightervisor.images.partial import Gauge
from lightervisor.instances.stateful import Stateful
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.migration.frames import Control, RsyncFeatures
from lightervisor.migration.roots import SentRoots
from lightervisor.migration.rsync import SOURCE, TARGET, receiving, sending
from lightervisor.migration.talk import Talk, refused
from lightervisor.operations.locks import Locks, instance_lock
from lightervisor.operations.operations import Run
from lightervisor.runtime import criu

log = logging.getLogger(__name__)
PREFIX = "Unable to perform container live migration"
PROGRESS = "criu_progress"
PLAIN = RsyncFeatures(delete=True)


class LiveSending:
    """Sends what runs."""

    def __init__(self, roots: SentRoots, memory: Stateful, locks: Locks) -> None:
        self.roots, self._memory, self._locks = roots, memory, locks

    async def check(self, row: InstanceRow) -> None:
        """Raise Failure with LXD's text without criu, Unsupported naming what keeps an instance from being sent."""
        remedy = f"lxc stop {row.name}, or --stateless: its files are sent as they are at this moment"
        if criu.program() is None:
            text = f"{PREFIX}. CRIU isn't installed on the source server"
            raise Failure("instance", row.name, text=text, remedy=f"apt install criu, or {remedy}")
        try:
            await self._memory.check(row, PREFIX)
        except Unsupported as error:
            raise Unsupported("instance", row.name, text=error.sentence(), remedy=remedy) from error

    async def hand_over(
        self, run: Run, talk: Talk, row: InstanceRow, send_files: Callable[[], Awaitable[None]]
    ) -> None:
        """Send the memory, and by `send_files` the files of the same moment; then it ends here.

        Raises Failure with the other side's words, and what fails; then it goes on here. Raises Unavailable when
        nobody knows whether it goes on there; then it is stopped, with its memory.
        """
        lost: list[str] = []
        ends: list[int] = []  # of streams, before the last one

        def is_cancellable() -> bool:
            return not ends or talk.fs.ends == ends[0]

        async def held() -> bool:
            gauge = Gauge(f"memory of {row.name}", 0, lambda text: run.progress(PROGRESS, text))
            async with sending({self._memory.directory(row): SOURCE}, PLAIN) as rsync:
                await talk.unless_ended(talk.memory.carry(rsync, gauge.add))
            try:
                await self._memory.hand_over(row)
                ends.append(talk.fs.ends)
                await self._given(talk, send_files, is_cancellable)
            except _LostError as error:
                lost.append(str(error))
            except BaseException:
                await finished(self._memory.take_back(row))
                raise
            else:
                try:
                    await finished(self._memory.give_up(row))
                except (Failure, OSError) as error:
                    log.warning("instance %s runs elsewhere, which could not be noted: %s", row.name, error)
            return True

        async def work() -> None:
            await self._memory.keep(run, row, held=held)
            await run.commit()

        async with self._locks.hold([instance_lock(row.project, row.name)]):
            with self._memory.boot.kept(row.project, row.name):
                await until_too_late(work(), is_cancellable, talk.control.fail)
        if lost:
            text = f"{lost[0]}: nobody knows whether {row.name} runs there. Here it is stopped, with its memory"
            raise Unavailable("migration", text=text, remedy=f"if it does not run there: lxc start {row.name}")

    async def _given(
        self, talk: Talk, send_files: Callable[[], Awaitable[None]], is_cancellable: Callable[[], bool]
    ) -> None:
        """Send the last files, and hear whether it runs there.

        Once they are sent only the other side knows: it is told what goes wrong here, and says what has become of it.
        Raises what keeps it from running there, _LostError when nobody knows.
        """
        failed: BaseException | None = None
        try:
            await send_files()
        except (Failure, OSError, asyncio.CancelledError) as error:
            if is_cancellable():
                raise
            failed = error
            await talk.control.fail(error)
        try:
            end = await talk.ended()
        except (Failure, OSError) as error:
            raise _LostError(error.sentence() if isinstance(error, Failure) else str(error)) from error
        if not end.success:
            raise failed or refused(end)


class _LostError(Exception):
    """The other side went without a word, when it had all."""


async def until_too_late(
    work: Awaitable[None],
    is_cancellable: Callable[[], bool],
    tell: Callable[[BaseException], Awaitable[None]] | None = None,
) -> None:
    """Do work that can be cancelled to some moment. After it the other side may be told; the work goes on to its end.

    Raises what the work raises, and CancelledError when it fails after that.
    """
    task, telling, cancelled = asyncio.ensure_future(work), list[asyncio.Future[None]](), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as asked:
            cancelled = True
            if is_cancellable():
                task.cancel()
            elif tell is not None and not telling:
                telling.append(asyncio.ensure_future(tell(asked)))
    for one in telling:
        one.cancel()
    await asyncio.gather(*telling, return_exceptions=True)
    if cancelled and not task.cancelled() and isinstance(error := task.exception(), Failure):
        raise asyncio.CancelledError from error
    task.result()


async def bring_back(run: Run, talk: Talk, memory: Stateful, row: InstanceRow) -> None:
    """Bring the processes of what has come back, and say so; it is committed before they move.

    Raises HostError, what the other side says, and Unavailable when it is gone by then; then nothing has moved.
    """
    settled: list[bool] = []

    async def settle_all() -> None:
        talk.check_wanted()
        settled.append(True)
        await run.commit()

    async def work() -> None:
        try:
            await memory.bring_back(row.project, row.name, settle_all)
        except (Failure, OSError) as error:
            if not settled or memory.boot.status(row.project, row.name) == "Stopped":
                raise
            log.warning("instance %s runs, but its memory could not be thrown away: %s", row.name, error)
        await talk.control.tell(Control(success=True))

    await until_too_late(work(), lambda: not settled)


async def take_in(run: Run, talk: Talk, name: str, place: Path) -> None:
    """Receive memory into an empty directory. Raises what `Line.carry` raises."""
    gauge = Gauge(f"memory of {name}", 0, lambda text: run.progress(PROGRESS, text))
    async with receiving({place: TARGET}, PLAIN, {}) as rsync:
        await talk.unless_ended(talk.memory.carry(rsync, gauge.add))


async def settle(place: Path, target: Path) -> None:
    """Put the regular files that came, and nothing else, where a volume has its state."""

    def move() -> None:
        target.mkdir()
        target.chmod(0o711)
        for entry in place.iterdir():
            if stat.S_ISREG(entry.lstat().st_mode):
                entry.rename(target / entry.name)

    await in_thread(move)


async def check_here() -> None:
    """Raise Unsupported when this server cannot bring memory back."""
    try:
        await in_thread(criu.check)
    except Failure as failure:
        text = f"{PREFIX}. The target server: {failure.message()}"
        raise Unsupported("migration", text=text, remedy="or use --stateless") from failure
