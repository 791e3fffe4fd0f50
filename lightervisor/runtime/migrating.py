"""A dump or a restore of a container under way, by liblxc and criu, held at the moments in which it can be taken back.

The processes of a container are in memory or in a directory, never nowhere: criu asks by its script before it ends
what it has dumped, and before it lets go on what it has restored. Whoever does not answer, as a daemon that died, has
said no.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from lightervisor.errors import HostError
from lightervisor.kernel import cgroup, pidfd
from lightervisor.runtime import criu
from lightervisor.runtime.notes import PATIENCE_S, Note, Notes, Process
from lightervisor.runtime.spawner import Followed, Spawner

DUMP, RESTORE = 1, 2  # as in liblxc, which must not be imported here
LIMIT_S = 900.0
DUMPED, IN_NETWORK, RESTORED = "post-dump", "setup-namespaces", "post-restore"
At = Callable[[str, int], Awaitable[None]]


class Revival(NamedTuple):
    """Processes to be brought back from a directory. `at` is awaited when their network is there (IN_NETWORK), and when
    they are about to go on (RESTORED), with the host's pid of init; what it raises takes the restore back.
    """

    directory: Path
    at: At


class Ask(NamedTuple):
    """What is to be done: with this configuration of the container, a dump or a restore, where."""

    name: str
    lxcpath: str
    config: Path
    command: int
    directory: Path


class Migrating:
    """One of them. A context manager at whose end it is over; it is taken back unless it was answered."""

    def __init__(self, followed: Followed) -> None:
        self._followed, self.pid = followed, int(followed.first.value[1])
        self._child, self._go, self._said = followed.first.fds
        self._rest, self._is_over = b"", False

    @classmethod
    async def asked(cls, spawner: Spawner, ask: Ask, script: Path) -> "Migrating":
        """Have a child of the spawner made for it, which waits for `begin`."""
        what = (ask.command, str(ask.directory), str(script))
        given = dict(criu.environment(script))
        return cls(await spawner.follow("migrate", ask.name, ask.lxcpath, str(ask.config), given, what))

    def begin(self) -> None:
        """Let it begin: whoever has to know of it does."""
        os.write(self._go, b"!")

    async def moment(self) -> tuple[str, int] | None:
        """The next moment at which criu asks, and init's pid; None when it has ended. Raises TimeoutError."""
        async with asyncio.timeout(LIMIT_S):
            while b"\n" not in self._rest:
                await _readable(self._said)
                found = os.read(self._said, 1 << 12)
                if not found:
                    return None
                self._rest += found
        line, _, self._rest = self._rest.partition(b"\n")
        action, _, pid = line.decode(errors="replace").partition(" ")
        return action, int(pid)

    def answer(self, *, go: bool = True) -> None:
        """Say whether criu is to go on."""
        os.write(self._go, b"go\n" if go else b"no\n")

    async def end(self) -> tuple[int, str]:
        """Wait for its end: liblxc's status, and the cgroups of who did it. Raises HostError when the spawner died."""
        try:
            async with asyncio.timeout(LIMIT_S):
                _, status, groups = (await self._followed.last()).value
        except HostError:
            await pidfd.ended(self._child)  # it goes on without the spawner
            raise
        self._is_over = True
        return int(status), str(groups)

    async def __aenter__(self) -> "Migrating":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._go)  # which says no
        os.close(self._said)
        try:
            if not self._is_over and not pidfd.has_ended(self._child):
                if not isinstance(error, TimeoutError | asyncio.CancelledError):
                    try:
                        async with asyncio.timeout(criu.PATIENCE_S):
                            await asyncio.shield(pidfd.ended(self._child))
                    except TimeoutError:
                        pass
                await end_below(self.pid, self._child)
        finally:
            os.close(self._child)


async def end_below(pid: int, process: int) -> None:
    """Kill what a process has started, and what that has; wait until the process has done what it does then.

    `process` is its descriptor.
    """
    while not pidfd.has_ended(process):
        _kill_below(pid, process)
        try:
            async with asyncio.timeout(1):
                await pidfd.ended(process)
        except TimeoutError:
            continue


def _kill_below(pid: int, process: int) -> None:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return
    for one in map(int, text.split()):
        child = pidfd.open_process(one)
        if child is None:
            continue
        try:
            # While both have not ended they have their pids for themselves.
            if pidfd.parent(one) == pid and not pidfd.has_ended(process):
                _kill_below(one, child)
                pidfd.send(child, signal.SIGKILL)
        finally:
            os.close(child)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def revive(spawner: Spawner, notes: Notes, ask: Ask, script: Path, revival: Revival) -> tuple[int, list[Path]]:
    """Have a container restored, as `starting.spawn` has one started: the status, and the monitor's cgroups."""
    async with await Migrating.asked(spawner, ask, script) as migrating:
        notes.write(ask.name, Note(restorer=Process.of(migrating.pid)))
        migrating.begin()
        while (moment := await migrating.moment()) is not None:
            await revival.at(*moment)
            migrating.answer()
            if moment[0] == RESTORED:
                break
        status, groups = await migrating.end()
        return status, cgroup.monitors(cgroup.parse(groups), ask.name)


async def end_work(note: Note) -> None:
    """Wait for what a daemon that died had begun with a container; kill what takes long."""
    if note.starter is not None:
        await note.starter.end(PATIENCE_S)
    for worker in (note.restorer, note.dumper):
        child = pidfd.open_process(worker.pid) if worker is not None else None
        if worker is not None and child is not None:
            try:
                if Process.of(worker.pid) != worker:
                    continue
                async with asyncio.timeout(criu.PATIENCE_S):
                    await pidfd.ended(child)
            except TimeoutError:
                await end_below(worker.pid, child)
            finally:
                os.close(child)
