"""The containers that run on this host, through liblxc's monitors, which outlive the daemon.

The state of a container is known without asking: it is set when it starts, and its exit arrives through
pidfds. A restarted daemon asks each monitor once (`find`). A forced stop kills init through its pidfd and
waits for the monitor to finish cleaning up.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import cgroup, pidfd
from lightervisor.kernel.cgroup import Usage
from lightervisor.runtime import failures
from lightervisor.runtime.render import render
from lightervisor.runtime.settings import limits, seccomp
from lightervisor.runtime.spawner import Followed, Spawner
from lightervisor.runtime.spec import ContainerSpec, HostFacts

RTMIN = 34
OnExit = Callable[[str, str], Awaitable[None]]
LEAK_GRACE_S = 10


@dataclass
class _Running:
    """One container that runs."""

    init_pid: int
    init: int
    monitor: int
    monitor_pid: int
    frozen: bool = False
    ending: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    watcher: "asyncio.Task[None] | None" = None


class Attached:
    """A program that runs inside a container."""

    def __init__(self, pid: int, followed: Followed) -> None:
        self.pid, self._followed = pid, followed
        self.pidfd = pidfd.open_process(pid)

    def send(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self.pidfd is not None:
            pidfd.send(self.pidfd, number)

    async def wait(self) -> int:
        """Its exit status, 128 + signal when a signal ended it."""
        try:
            status = int((await self._followed.last()).value[1])
        finally:
            if self.pidfd is not None:
                os.close(self.pidfd)
                self.pidfd = None
        return status if status >= 0 else 128 - status


class Containers:
    """Start, stop and reach into containers. Names are liblxc's; `on_exit(name, "stop" | "reboot")` is awaited."""

    def __init__(self, spawner: Spawner, directory: Path, host: HostFacts, on_exit: OnExit) -> None:
        self._spawner, self._path, self._host, self._on_exit = spawner, str(directory), host, on_exit
        self._running: dict[str, _Running] = {}
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)

    def state(self, name: str) -> str:
        """Running, Frozen or Stopped, as LXD spells them."""
        found = self._running.get(name)
        if found is None or found.ending:
            return "Stopped"
        return "Frozen" if found.frozen else "Running"

    async def settled(self, name: str) -> None:
        """Wait until what is ending has gone with everything that belongs to it."""
        running = self._running.get(name)
        if running is not None and running.ending:
            await running.gone.wait()

    def init_pid(self, name: str) -> int | None:
        """The host's pid of init, None when the container does not run."""
        found = self._running.get(name)
        return found.init_pid if found and not found.ending else None

    async def find(self, name: str) -> bool:
        """After a restart of the daemon: is this container running? If so it is watched from now on."""
        state, pid = (await self._spawner.request("state", name, self._path)).value
        if state not in ("RUNNING", "FROZEN") or pid <= 0:
            return False
        self._adopt(name, pid, frozen=cgroup.is_frozen(cgroup.payload(pid, name)))
        return True

    async def start(self, spec: ContainerSpec) -> None:
        """Start a container. Raises HostError with the reason from liblxc's log."""
        limits.check_host(spec.config)
        text = render(spec, self._host)
        spec.log_dir.mkdir(parents=True, exist_ok=True)
        seccomp.write(spec)
        config, log = spec.log_dir / "lxc.conf", spec.log_dir / "lxc.log"
        config.write_text(text)
        log.unlink(missing_ok=True)
        followed = await self._spawner.request("start", spec.name, self._path, str(config))
        if followed.value[1] != 0:
            cgroup.sweep(spec.name)
            raise HostError("instance", spec.hostname, text=failures.explain(spec, log))
        _, pid = (await self._spawner.request("state", spec.name, self._path)).value
        if pid <= 0:
            raise HostError("instance", spec.hostname, text=failures.died_at_once(spec))
        self._adopt(spec.name, pid, frozen=False)

    def _adopt(self, name: str, pid: int, *, frozen: bool) -> None:
        init, monitor_pid = pidfd.open_process(pid), pidfd.parent(pid)
        monitor = pidfd.open_process(monitor_pid) if monitor_pid else None
        if init is None or monitor is None or monitor_pid is None:
            raise HostError("instance", name, cause="it ended as soon as it was started")
        running = _Running(pid, init, monitor, monitor_pid, frozen)
        self._running[name] = running
        running.watcher = asyncio.create_task(self._watch(name, running), name=f"watch {name}")

    async def _watch(self, name: str, running: _Running) -> None:
        await pidfd.ended(running.init)
        successor = await self._outcome(name, running)
        try:
            if successor:
                self._adopt(name, successor, frozen=False)
                await self._on_exit(name, "reboot")
            else:
                running.ending = True
                await asyncio.to_thread(cgroup.sweep, name)
                await self._on_exit(name, "stop")
        finally:
            os.close(running.init)
            os.close(running.monitor)
            if self._running.get(name) is running:
                del self._running[name]
            running.gone.set()

    async def _outcome(self, name: str, running: _Running) -> int | None:
        """Init ended: wait for the monitor's end, or for the init of a reboot, whose pid is returned."""
        ended = asyncio.create_task(pidfd.ended(running.monitor))
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=0.1)
                if ended.done():
                    return None
                alive = pidfd.children(running.monitor_pid)
                if alive and alive[0] != running.init_pid:
                    state, pid = (await self._spawner.request("state", name, self._path)).value
                    if state == "RUNNING" and pid > 0:
                        return int(pid)
        finally:
            ended.cancel()
        return None

    async def kill(self, name: str) -> None:
        """Stop by force and wait until everything of it has gone; nothing happens when it does not run."""
        running = self._running.get(name)
        if running is None:
            return
        pidfd.send(running.init, signal.SIGKILL)
        if running.frozen:
            await self.unfreeze(name)
        await running.gone.wait()

    async def shut_down(self, name: str, timeout_s: float | None, number: int | None = None) -> None:
        """Ask init to stop and wait. Raises TimeoutError when it has not within the time (None waits for ever)."""
        running = self._running.get(name)
        if running is None:
            return
        pidfd.send(running.init, number or halt_signal(running.init_pid))
        async with asyncio.timeout(timeout_s):
            await running.gone.wait()

    async def freeze(self, name: str) -> None:
        """Freeze all processes. Raises Invalid when it does not run, HostError when the kernel refuses."""
        running = self._required(name)
        await asyncio.to_thread(cgroup.set_frozen, cgroup.payload(running.init_pid, name), frozen=True)
        running.frozen = True

    async def unfreeze(self, name: str) -> None:
        """Thaw all processes."""
        running = self._required(name)
        await asyncio.to_thread(cgroup.set_frozen, cgroup.payload(running.init_pid, name), frozen=False)
        running.frozen = False

    def _required(self, name: str) -> _Running:
        running = self._running.get(name)
        if running is None or running.ending:
            raise Invalid("instance", name, text="Instance is not running")
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
        """Run a program inside with these descriptors as its standard streams; they stay the caller's to close."""
        self._required(name)
        encoded = [os.fsencode(word) for word in argv]
        variables = [os.fsencode(f"{key}={value}") for key, value in (env or {}).items()]
        followed = await self._spawner.follow(
            "attach", name, self._path, encoded, variables, os.fsencode(cwd), ids, fds=fds
        )
        return Attached(int(followed.first.value[1]), followed)

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

    async def console_log(self, name: str, *, clear: bool = False) -> bytes:
        """What the console's ring buffer holds."""
        self._required(name)
        return bytes((await self._spawner.request("console_log", name, self._path, clear)).value)

    def usage(self, name: str) -> Usage:
        """What the container uses now. Raises Invalid when it does not run."""
        return cgroup.usage(cgroup.payload(self._required(name).init_pid, name))

    def apply_limits(self, name: str, config: Mapping[str, str]) -> None:
        """Make a running container follow its limits, lifted ones too. Raises HostError for what is refused."""
        groups = cgroup.payload(self._required(name).init_pid, name)
        wanted = set(limits.settings(config, self._host))
        for setting in limits.settings(config, self._host, reset=True):
            cgroup.write(groups, setting, is_wanted=setting in wanted)


def halt_signal(pid: int) -> int:
    """The signal that makes an init stop: SIGRTMIN+3 where it waits for it (systemd), else SIGPWR. Source: liblxc."""
    fields = pidfd.status(pid)
    bit = 1 << (RTMIN + 3 - 1)
    if any(int(fields.get(name, "0"), 16) & bit for name in ("SigBlk", "SigCgt")):
        return RTMIN + 3
    return signal.SIGPWR
