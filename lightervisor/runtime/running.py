"""One container that runs: the descriptors of its processes."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import cgroup, pidfd
from lightervisor.runtime.gathering import gather
from lightervisor.runtime.notes import Note, Process
from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spawner import Followed
from lightervisor.runtime.spec import Throttle

log = logging.getLogger(__name__)
ENDING_S = 1.0


def not_running(name: str) -> Invalid:
    """The refusal of what only a running container can do."""
    return Invalid("instance", name, text="Instance is not running")


def _words() -> "asyncio.Queue[str]":
    return asyncio.Queue()


def _futures() -> "set[asyncio.Future[Followed]]":
    return set()


@dataclass
class Running:
    """Init and monitor of one container. `config` is None when it is not known yet."""

    name: str
    init_pid: int
    init: int
    monitor_pid: int
    monitor: int
    groups: list[Path]
    freezer: Path | None = None
    config: Mapping[str, str] | None = None
    throttles: tuple[Throttle, ...] = ()
    cpus: set[int] | None = None
    frozen: bool = False
    stop_wanted: bool = False
    reboot_wanted: bool = False
    ending: bool = False
    whole: bool = False
    native_only: bool = False
    revived: bool = False
    dumper: Process | None = None
    attaching: "set[asyncio.Future[Followed]]" = field(default_factory=_futures)
    words: "asyncio.Queue[str]" = field(default_factory=_words)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    watcher: "asyncio.Task[None] | None" = None

    @classmethod
    def of(cls, name: str, pid: int) -> "Running":
        """The container with this init. Raises HostError when it has ended meanwhile."""
        init, monitor_pid = pidfd.open_process(pid) if pid > 0 else None, pidfd.parent(pid)
        monitor = pidfd.open_process(monitor_pid) if monitor_pid is not None and monitor_pid > 1 else None
        if init is None or monitor is None or monitor_pid is None:
            for descriptor in (init, monitor):
                if descriptor is not None:
                    os.close(descriptor)
            raise HostError("instance", name, cause="it ended as soon as it was started")
        gather(pid, monitor_pid)
        payload = cgroup.payload(pid, name)
        groups = [*payload.values(), *cgroup.monitors(cgroup.directories(monitor_pid), name)]
        return cls(name, pid, init, monitor_pid, monitor, groups, cgroup.freezer(payload))

    def become(self, pid: int) -> bool:
        """The guest rebooted and has a new init; False when that has ended already."""
        init = pidfd.open_process(pid)
        if init is None:
            return False
        os.close(self.init)
        self.init_pid, self.init, self.frozen, self.reboot_wanted = pid, init, False, False
        self.freezer = cgroup.freezer(self.payload())
        self.cpus = None  # it is on those that its configuration file names
        return True

    async def is_ending(self) -> bool:
        """Whether it has ended or does so in a moment: an init on its way out cannot be entered any more."""
        if not self.ending:
            try:
                await asyncio.wait_for(pidfd.ended(self.init), ENDING_S)
            except TimeoutError:
                return False
        return True

    async def attachments(self, patience_s: float) -> None:
        """Wait, so long at most, until what is being attached is inside or has failed to get there."""
        if self.attaching:
            await asyncio.wait(self.attaching, timeout=patience_s)

    def kill(self) -> None:
        """End init, and with it everything inside."""
        pidfd.send(self.init, signal.SIGKILL)

    def payload(self) -> dict[str, Path]:
        """Its cgroups, by controller; empty when init has ended."""
        return cgroup.payload(self.init_pid, self.name)

    def is_frozen(self) -> bool:
        """Whether it is frozen, or is about to be; others than this daemon can freeze it, too."""
        return self.frozen or (self.freezer is not None and cgroup.says_frozen(self.freezer))

    def thaw(self) -> None:
        """Let frozen processes go on, whoever froze them. Raises HostError."""
        if cgroup.is_frozen(groups := self.payload()):
            cgroup.set_frozen(groups, frozen=False)

    def end_frozen(self) -> None:
        """End all frozen processes such that none of them moves any more; blocking. Raises HostError."""
        cgroup.kill_frozen(self.payload())
        self.kill()
        self.thaw()

    def try_write(self, setting: Setting) -> bool:
        """Write one limit; what the kernel refuses is told in the log."""
        try:
            cgroup.write(self.payload(), setting.files, is_wanted=False)
        except HostError as error:
            log.warning("instance %s: %s", self.name, error.sentence())
            return False
        return True

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self.init)
        os.close(self.monitor)

    def note(self, *, whole: bool = False) -> Note:
        """How to find its processes and cgroups when its monitor is killed while no daemon runs."""
        self.whole = self.whole or whole
        return Note(
            whole=self.whole,
            native_only=self.native_only,
            revived=self.revived,
            dumper=self.dumper,
            init=Process.of(self.init_pid),
            monitor=Process.of(self.monitor_pid),
            groups=tuple(str(group) for group in self.groups),
        )
