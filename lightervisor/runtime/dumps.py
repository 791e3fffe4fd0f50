"""What the processes of containers have in memory, written to directories and read back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.runtime import criu, failures
from lightervisor.runtime.migrating import DUMP, DUMPED, RESTORE, Ask, Migrating, Revival, revive
from lightervisor.runtime.notes import Notes, Process, end_failed
from lightervisor.runtime.running import Running
from lightervisor.runtime.spawner import Spawner
from lightervisor.runtime.spec import ContainerSpec

log = logging.getLogger(__name__)
Decide = Callable[[], Awaitable[bool]]


class Dumps:
    """Dumps and restores of all containers."""

    def __init__(self, spawner: Spawner, notes: Notes, lxcpath: str) -> None:
        self._spawner, self._notes, self._path = spawner, notes, lxcpath

    async def revive(self, spec: ContainerSpec, config: Path, revival: Revival) -> list[Path]:
        """Bring the processes of a container back; the monitor's cgroups. Raises HostError with criu's reason."""
        ask = Ask(spec.name, self._path, config, RESTORE, revival.directory)
        status, groups = await revive(self._spawner, self._notes, ask, self._script(), revival)
        if status != 0:
            await end_failed(self._path, spec.name, groups)
            said = criu.reason(revival.directory, "restore", spec.log_dir / "lxc.log")
            reason = f"its processes could not be brought back: {said}"
            raise HostError("instance", spec.hostname, text=failures.sentence(spec, reason))
        return groups

    async def dump(self, running: Running, config: Path, directory: Path, decide: Decide, *, liblxc_log: Path) -> None:
        """Write down the memory of a running container.

        `decide` is asked once that is done, while nothing in the container moves: True ends its processes, False and a
        failure let them go on, unless it has frozen them. What is frozen and to end is ended, whatever becomes of criu.
        Raises HostError with criu's reason; then they run.
        """
        ask = Ask(running.name, self._path, config, DUMP, directory)
        is_to_end, is_over = False, False
        try:
            async with await Migrating.asked(self._spawner, ask, self._script()) as migrating:
                running.dumper = Process.of(migrating.pid)
                self._notes.write(running.name, running.note())
                migrating.begin()
                moment = await migrating.moment()
                is_done = moment is not None and moment[0] == DUMPED
                if is_done:
                    is_to_end = await decide()
                    is_over = is_to_end and running.frozen
                    if is_over:  # on cgroup v1 criu would wait for the thaw of what it has killed
                        await asyncio.to_thread(running.end_frozen)
                    migrating.answer(go=is_to_end)
                try:
                    status, _ = await migrating.end()
                except (HostError, TimeoutError) as error:
                    if not is_over:
                        raise
                    log.warning("instance %s has ended, but criu has not: %s", running.name, error)
                    status = 1
                if not is_done or (status != 0 and is_to_end and not is_over):
                    cause = f"criu: {criu.reason(directory, 'dump', liblxc_log)}"
                    raise HostError("instance", running.name, cause=cause)
            if is_to_end:
                await running.gone.wait()
        finally:
            running.dumper = None
            if not is_to_end and not running.ending:
                if not running.frozen:
                    await asyncio.to_thread(running.thaw)
                self._notes.write(running.name, running.note())

    def _script(self) -> Path:
        return criu.prepare(Path(self._path) / ".running")
