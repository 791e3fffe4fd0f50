"""The containers that run on this host, through liblxc's monitors, which outlive the daemon.

The state of a container is known without asking: it is set when it starts, its exit arrives through pidfds, and a
hook tells a reboot from a stop. A restarted daemon asks each monitor once (`find`). A forced stop kills init
through its pidfd and waits for the monitor to finish cleaning up.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from lightervisor.errors import Failure, HostError, Invalid
from lightervisor.kernel import cgroup, pidfd
from lightervisor.kernel.cgroup import Usage
from lightervisor.runtime import console_log, failures, init_program, signals
from lightervisor.runtime.attached import Attached
from lightervisor.runtime.confinement import Confinement
from lightervisor.runtime.dumps import Decide, Dumps
from lightervisor.runtime.exits import Exits
from lightervisor.runtime.limiter import Limiter, Wanted
from lightervisor.runtime.migrating import Revival, end_work
from lightervisor.runtime.notes import PATIENCE_S, Note, Notes, end_failed, end_remains
from lightervisor.runtime.render import render
from lightervisor.runtime.running import Running, not_running
from lightervisor.runtime.settings import hooks, seccomp
from lightervisor.runtime.spawner import Spawner
from lightervisor.runtime.spec import ContainerSpec, HostFacts
from lightervisor.runtime.starting import spawn

OnExit = Callable[[str, str], Awaitable[None]]
Found = Literal["whole", "half", "stopped", "ended", "absent"]
BETWEEN = ("STARTING", "STOPPING", "ABORTING")
log = logging.getLogger(__name__)


class Containers:
    """Start, stop and reach into containers. Names are liblxc's.

    `on_exit(name, what)` is awaited: "stop", "reboot" when the guest rebooted and runs again, "restart" when it
    rebooted and is to be started, as its configuration changed. To be made on the running loop. `directory` is
    liblxc's lxcpath; what the daemon notes about running containers is in its `.running`.
    """

    def __init__(
        self, spawner: Spawner, directory: Path, host: HostFacts, confinement: Confinement, on_exit: OnExit
    ) -> None:
        self._spawner, self._path, self._host, self._on_exit = spawner, str(directory), host, on_exit
        self.confinement = confinement
        self._running: dict[str, Running] = {}
        self._limiter = Limiter(self._running, host)
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._notes = Notes(directory / ".running")
        self._exits = Exits(directory / ".running/.exits", self._told)
        self._dumps = Dumps(spawner, self._notes, self._path)

    def close(self) -> None:
        """Stop watching; what runs goes on."""
        self._exits.close()
        self.confinement.close()
        for running in self._running.values():
            if running.watcher is not None:
                running.watcher.cancel()

    def state(self, name: str) -> str:
        """Running, Frozen or Stopped, as LXD spells them."""
        found = self._running.get(name)
        if found is None or found.ending:
            return "Stopped"
        return "Frozen" if found.is_frozen() else "Running"

    async def settled(self, name: str) -> None:
        """Wait until what is ending has gone with everything that belongs to it."""
        running = self._running.get(name)
        if running is not None and running.ending:
            await running.gone.wait()

    def init_pid(self, name: str) -> int | None:
        """The host's pid of init, None when the container does not run."""
        found = self._running.get(name)
        return found.init_pid if found and not found.ending else None

    async def find(self, name: str) -> Found:
        """After a restart of the daemon: does this container run? If so it is watched; `restore_limits` follows.

        "half" is one, running or not, whose start was not done when the daemon died; "ended" one that ended since, and
        "stopped" one that was asked to. Of one that does not run processes and cgroups are removed here: `forget` it
        when the rest is taken back too.
        """
        note = self._notes.read(name)
        if note is not None:
            await end_work(note)
        deadline = time.monotonic() + PATIENCE_S
        state, pid = (await self._spawner.request("state", name, self._path)).value
        while state in BETWEEN and time.monotonic() < deadline:
            await asyncio.sleep(0.05)  # a reboot that began before this daemon did: no event of it can come here
            state, pid = (await self._spawner.request("state", name, self._path)).value
        if state not in ("RUNNING", "FROZEN") or pid <= 0:
            if note is None:
                self._notes.forget(name)
                return "absent"
            await end_remains(note, self._path, name)
            return "stopped" if note.stopping else "ended" if note.whole else "half"
        running = self._adopt(name, pid, None, note or Note(whole=True))
        return "whole" if running.whole else "half"

    async def begin(self, name: str) -> None:
        """Note that a start begins, before anything is prepared for it; of an earlier run nothing is left."""
        if (note := self._notes.read(name)) is not None:
            await end_remains(note, self._path, name)
        self._notes.write(name, Note())

    def complete(self, name: str) -> None:
        """Note that a start is done to its end. Raises Invalid when the container has ended meanwhile."""
        self._notes.write(name, self._required(name).note(whole=True))

    def note_stop(self, name: str, *, wanted: bool) -> None:
        """Note that a running container is being stopped for good, or goes on."""
        if (running := self._running.get(name)) is not None and not running.ending:
            self._notes.write(name, msgspec.structs.replace(running.note(), stopping=wanted))

    def forget(self, name: str) -> None:
        """Everything of a container that does not run has been taken back."""
        if name not in self._running:
            self._notes.forget(name)

    async def start(self, spec: ContainerSpec, revival: Revival | None = None) -> None:
        """Start a container, or bring its processes back, whole or not at all. Raises HostError with the reason."""
        starting = asyncio.create_task(self._start(spec, revival))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            if revival is not None:
                starting.cancel()
            # liblxc cannot be interrupted: what comes up now would be nobody's.
            await asyncio.wait([starting])
            await self.kill(spec.name)
            raise

    async def _start(self, spec: ContainerSpec, revival: Revival | None) -> None:
        self._limiter.prepare(spec)
        cpus = self._limiter.cpus_for(spec.name, spec.config)
        text = render(spec, self._host, cpus=cpus, fifo=self._exits.path, notify=self.confinement.notify_socket)
        spec.log_dir.mkdir(parents=True, exist_ok=True)
        await self.confinement.prepare(spec)
        config, logfile = spec.log_dir / "lxc.conf", spec.log_dir / "lxc.log"
        config.write_text(text)
        logfile.unlink(missing_ok=True)
        console_log.remove(spec.log_dir)
        self._mark(spec.name).unlink(missing_ok=True)
        if refusal := init_program.refusal(spec):
            raise HostError("instance", spec.hostname, text=failures.sentence(spec, refusal))
        if revival is not None:
            groups = await self._dumps.revive(spec, config, revival)
        else:
            groups = await spawn(self._spawner, self._notes, self._path, spec, config)
        _, pid = (await self._spawner.request("state", spec.name, self._path)).value
        try:
            note = Note(native_only=seccomp.native_only(spec), revived=revival is not None)
            running = self._adopt(spec.name, pid, spec.config, note)
        except Failure as error:
            await end_failed(self._path, spec.name, groups)
            raise HostError("instance", spec.hostname, text=failures.died_at_once(spec, logfile)) from error
        if revival is not None:  # it has the limits that it had then
            await asyncio.to_thread(self._limiter.restore, running, Wanted(spec.config, spec.throttles))
        else:
            running.cpus, running.throttles = cpus, spec.throttles
        await asyncio.to_thread(self._limiter.complete, running)

    def _adopt(self, name: str, pid: int, config: Mapping[str, str] | None, note: Note) -> Running:
        running = Running.of(name, pid)
        running.config, running.whole, running.native_only = config, note.whole, note.native_only
        running.revived = note.revived
        self._running[name] = running
        running.watcher = asyncio.create_task(self._watch(running), name=f"watch {name}")
        running.watcher.add_done_callback(_report)
        self._notes.write(name, running.note())
        return running

    def _told(self, name: str, word: str) -> None:
        running = self._running.get(name)
        if running is not None:
            running.reboot_wanted = word == "reboot"
            running.words.put_nowait(word)

    async def _watch(self, running: Running) -> None:
        try:
            while await self._rebooted(running):
                self._notes.write(running.name, running.note())
                await asyncio.to_thread(self._limiter.complete, running)
                await self._on_exit(running.name, "reboot")
            running.ending = True
            self._exits.read()
            await running.attachments(PATIENCE_S)  # one that is under way makes a cgroup
            await asyncio.to_thread(cgroup.remove, running.groups)
            self._mark(running.name).unlink(missing_ok=True)
            is_to_return = running.reboot_wanted and not running.stop_wanted
            await self._on_exit(running.name, "restart" if is_to_return else "stop")
            self._notes.forget(running.name)
        finally:
            running.close()
            if self._running.get(running.name) is running:
                del self._running[running.name]
            running.gone.set()
        await asyncio.to_thread(self._limiter.rebalance)

    async def _rebooted(self, running: Running) -> bool:
        """Wait for init's end; whether another init followed it."""
        if await pidfd.first_ended(running.init, running.monitor) == running.monitor and not pidfd.has_ended(
            running.init
        ):
            # Somebody killed the monitor: nobody can reach the container any more.
            running.kill()
            await pidfd.ended(running.init)
            return False
        pid = await self._next_init(running)
        if pid is None or not running.become(pid):
            return False
        if running.stop_wanted:
            running.kill()
        return True

    async def _next_init(self, running: Running) -> int | None:
        """Init ended: the pid of the one that follows it, or None with the monitor's end."""
        monitor = asyncio.create_task(pidfd.ended(running.monitor))
        try:
            while True:
                word = asyncio.create_task(running.words.get())
                await asyncio.wait({monitor, word}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
                if monitor.done():
                    word.cancel()
                    return None
                if not word.cancel():
                    if word.result().isdecimal() and int(word.result()) != running.init_pid:
                        return int(word.result())
                    continue
                state, pid = (await self._spawner.request("state", running.name, self._path)).value
                if state == "RUNNING" and pid not in (running.init_pid, -1):
                    return int(pid)
        finally:
            monitor.cancel()

    async def kill(self, name: str) -> None:
        """Stop by force and wait until everything of it has gone; nothing happens when it does not run."""
        running = self._running.get(name)
        if running is None:
            return
        running.stop_wanted = True
        running.kill()
        if not running.ending:
            await asyncio.to_thread(running.thaw)  # also what was frozen behind our back
        await running.gone.wait()

    async def shut_down(self, name: str, timeout_s: float | None, number: int | None = None) -> None:
        """Ask init to stop and wait. Raises TimeoutError when it has not within the time (None waits for ever)."""
        running = self._running.get(name)
        if running is None:
            return
        running.stop_wanted = True
        try:
            pidfd.send(running.init, number or signals.halt(running.init_pid, running.config or {}))
            async with asyncio.timeout(timeout_s):
                await running.gone.wait()
        finally:
            running.stop_wanted = False

    def is_revived(self, name: str) -> bool:
        """Whether its processes were brought back. Raises Invalid when it does not run."""
        return self._required(name).revived

    async def dump(self, name: str, config: Path, directory: Path, decide: Decide, *, log: Path) -> None:
        """Write down what a running container has in memory: see `Dumps.dump`. Raises Invalid too."""
        await self._dumps.dump(self._required(name), config, directory, decide, liblxc_log=log)

    async def freeze(self, name: str) -> None:
        """Freeze all processes. Raises Invalid when it does not run, HostError when the kernel refuses."""
        running = self._required(name)
        running.frozen = True  # from now on nothing is attached: it would be neither inside nor outside
        try:
            await running.attachments(PATIENCE_S)
            await asyncio.to_thread(cgroup.set_frozen, running.payload(), frozen=True)
        except BaseException:
            running.frozen = False
            raise

    async def unfreeze(self, name: str) -> None:
        """Thaw all processes."""
        running = self._required(name)
        await asyncio.to_thread(running.thaw)
        running.frozen = False

    def _required(self, name: str) -> Running:
        running = self._running.get(name)
        if running is None or running.ending:
            raise not_running(name)
        return running

    async def attach(
        self,
        name: str,
        argv: Sequence[str],
        *,
        fds: tuple[int, int, int],
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        ids: tuple[int, int] = (0, 0),
    ) -> Attached:
        """Run a program with these streams, which stay the caller's. Raises Invalid when it is frozen, HostError."""
        running = self._required(name)
        if running.is_frozen():
            raise Invalid("instance", name, text="Instance is frozen")
        words = [os.fsencode(word) for word in argv]
        environment = [os.fsencode(f"{key}={value}") for key, value in (env or {}).items()]
        more = (words, environment, os.fsencode(cwd), ids, running.native_only)
        attaching = asyncio.ensure_future(self._spawner.follow("attach", name, self._path, *more, fds=fds))
        running.attaching.add(attaching)
        try:
            return Attached(await attaching)
        except HostError as error:
            if self._running.get(name) is not running or await running.is_ending():
                raise not_running(name) from error
            raise
        finally:
            running.attaching.discard(attaching)

    async def open_pty(self, name: str, owner: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """A terminal on the container's own devpts: master and slave; `owner` are host ids, size is (width, height)."""
        self._required(name)
        master, slave = (await self._spawner.request("pty", name, self._path, owner, size)).fds
        return master, slave

    async def console(self, name: str) -> tuple[int, int]:
        """The console: a descriptor to keep open while it is used, and the one to read and write."""
        self._required(name)
        terminal, master = (await self._spawner.request("console", name, self._path)).fds
        return terminal, master

    def console_resized(self, name: str) -> None:
        """The console's user has changed the size of its terminal: the monitor copies it when it is told (SIGWINCH)."""
        if (running := self._running.get(name)) is not None:
            pidfd.send(running.monitor, signal.SIGWINCH)

    def usage(self, name: str) -> Usage:
        """What the container uses now. Raises Invalid when it does not run."""
        return cgroup.usage(self._required(name).payload())

    def apply_limits(self, name: str, wanted: Wanted) -> None:
        """Make a running container follow its limits; blocking. Raises as `Limiter.apply`, and Invalid."""
        self._limiter.apply(self._required(name), wanted)

    def restore_limits(self, name: str, wanted: Wanted) -> None:
        """Set the limits of a container that was found; blocking. What the kernel refuses is told in the log."""
        if (running := self._running.get(name)) is not None:
            self._limiter.restore(running, wanted)

    async def host_has_other_cpus(self) -> None:
        """CPUs of the host came or went: share them out again."""
        await asyncio.to_thread(self._limiter.host_has_other_cpus)

    @asynccontextmanager
    async def changing_together(self) -> AsyncGenerator[None, None]:
        """Many containers get other limits while this lasts; then the CPUs are shared out once."""
        try:
            with self._limiter.together():
                yield
        finally:
            await asyncio.to_thread(self._limiter.rebalance)

    async def set_devices(self, name: str, verb: Literal["allow", "deny"], rule: str) -> None:
        """Let a running container open device nodes by a rule of the devices cgroup, or no longer. Raises HostError."""
        await self._spawner.request("devices", name, self._path, verb, rule)

    def note_change(self, name: str) -> bool:
        """A running container is not what it was started with, from now on; gives whether that was not noted yet.

        To be called before anything is changed: a guest that reboots after the daemon was killed is started anew then.
        """
        mark = self._mark(name)
        is_new = not mark.exists()
        mark.touch()
        return is_new

    def forget_change(self, name: str) -> None:
        """What `note_change` noted first has changed nothing in the end."""
        self._mark(name).unlink(missing_ok=True)

    def _mark(self, name: str) -> Path:
        return hooks.changed_mark(self._exits.path, name)


def _report(watcher: "asyncio.Task[None]") -> None:
    if not watcher.cancelled() and (error := watcher.exception()) is not None:
        log.error("%s: what belongs to it could not be taken back", watcher.get_name(), exc_info=error)
