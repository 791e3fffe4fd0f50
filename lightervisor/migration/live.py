"""What processes have in memory, from one server to another. Source: LXD, migration with `live`; criu(8).

Files are sent while the instance runs; then it is dumped, and while nothing in it moves its memory is sent on the third
websocket, and what has changed in the files since. The other side brings the processes back, stores all of it for good
before it lets them go on, and says so. Only then they end here; their memory is kept until the instance is deleted. So
they run at one place, never at both: where the other side goes without a word, they run at none, and may be started
where they are not.
"""

import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, Unavailable, Unsupported
from lightervisor.images.partial import Gauge
from lightervisor.instances.stateful import Stateful
from lightervisor.kernel.threads import in_thread
from lightervisor.migration.frames import RsyncFeatures
from lightervisor.migration.roots import SentRoots
from lightervisor.migration.rsync import SOURCE, TARGET, receiving, sending
from lightervisor.migration.talk import Talk, refused
from lightervisor.operations.locks import Locks, instance_lock
from lightervisor.operations.operations import Run
from lightervisor.runtime import criu

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
        lost: list[Unavailable] = []

        async def held() -> bool:
            gauge = Gauge(f"memory of {row.name}", 0, lambda text: run.progress(PROGRESS, text))
            async with sending({self._memory.directory(row): SOURCE}, PLAIN) as rsync:
                await talk.unless_ended(talk.memory.carry(rsync, gauge.add))
            await send_files()
            try:
                end = await talk.ended()
            except Unavailable as error:
                lost.append(error)
                return True
            if not end.success:
                raise refused(end)
            return True

        async with self._locks.hold([instance_lock(row.project, row.name)]):
            with self._memory.boot.kept(row.project, row.name):
                await self._memory.keep(run, row, held=held)
                await run.commit()
        if lost:
            text = (
                f"{lost[0].sentence()}: nobody knows whether {row.name} runs there. Here it is stopped, with its memory"
            )
            raise Unavailable("migration", text=text, remedy=f"if it does not run there: lxc start {row.name}")


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
