"""The limits of containers while they run: changed, lifted, put back, and CPUs shared out again as they come and go."""

import logging
import threading
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from lightervisor.errors import HostError
from lightervisor.kernel import cgroup, cpuset
from lightervisor.runtime.running import Running
from lightervisor.runtime.settings import cpu, limits, setting, throttles
from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Throttle

log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """What limits a container shall have: those of its configuration, and those of its disks."""

    config: Mapping[str, str]
    throttles: tuple[Throttle, ...] = ()


class Limiter:
    """Follows `running`, the containers by name; every function blocks for as long as the kernel takes."""

    def __init__(self, running: Mapping[str, Running], host: HostFacts) -> None:
        self._running, self._host = running, host
        self._sharing, self._waiting = threading.Lock(), 0

    def prepare(self, spec: ContainerSpec) -> None:
        """Before a start: tell in the log, as LXD does, which limits this host cannot follow, and enable the others."""
        wanted = [*limits.settings(spec.config, self._host), *throttles.settings(spec.throttles)]
        cgroup.enable(setting.controllers_v2(wanted, self._host))
        for file in setting.missing(wanted, self._host):
            log.warning("instance %s: this host has no cgroup file %s, the limit has no effect", spec.hostname, file)

    def restore(self, running: Running, wanted: Wanted) -> None:
        """A daemon found a container that runs: let it have the limits that are stored, whatever was changed last."""
        changes = limits.changes(None, wanted.config, self._host)
        for one, _ in changes + throttles.changes(wanted.throttles, throttles.present(running.payload())):
            if setting.lines([one], self._host):
                running.try_write(one)
        running.config, running.throttles = wanted
        self.rebalance()

    def complete(self, running: Running) -> None:
        """After a start or a guest's reboot: set the files of v2, which liblxc does not on hybrid hosts."""
        wanted = [*limits.settings(running.config or {}, self._host), *throttles.settings(running.throttles)]
        if self._host.cgroups.files_v1:
            for one in wanted:
                if setting.controllers_v2([one], self._host):
                    running.try_write(one)
        self.rebalance()

    def apply(self, running: Running, wanted: Wanted) -> None:
        """Make a running container follow its limits, lifted ones too.

        Raises HostError for what the kernel refuses or this host's cgroups do not have; the limits are then as before.
        """
        groups, before = running.payload(), Wanted(running.config or {}, running.throttles)
        changes = limits.changes(running.config, wanted.config, self._host)
        if wanted.throttles != before.throttles:
            changes += throttles.changes(wanted.throttles, throttles.present(groups))
        cgroup.enable(setting.controllers_v2((one for one, is_limit in changes if is_limit), self._host))
        try:
            for one, is_limit in changes:
                self._write(groups, one, is_limit=is_limit)
        except HostError:
            back = limits.changes(wanted.config, before.config, self._host)
            for one, _ in back + throttles.changes(before.throttles, throttles.present(groups)):
                running.try_write(one)
            raise
        has_other_cpus = (running.config or {}).get(limits.CPUS) != wanted.config.get(limits.CPUS)
        running.config, running.throttles = wanted
        if has_other_cpus:
            self.rebalance()

    def _write(self, groups: Mapping[str, cgroup.Path], one: Setting, *, is_limit: bool) -> None:
        if not setting.lines([one], self._host):
            if is_limit and setting.missing([one], self._host):
                text = f"Cannot apply the limit as {one.v1} is missing in this host's cgroups"
                raise HostError("limit", one.v1, text=text, remedy="unset it, or boot a kernel with that controller")
            return
        cgroup.write(groups, one.files, is_wanted=is_limit and not one.is_beside)

    def cpus_for(self, name: str, config: Mapping[str, str]) -> set[int] | None:
        """The CPUs that a container gets which is to be started; None when it may use all."""
        with self._sharing:
            return self._shares({name: config}).get(name)

    @contextmanager
    def together(self) -> Generator[None, None, None]:
        """While this lasts CPUs are not shared out again: many containers change together, and `rebalance` follows."""
        with self._sharing:
            self._waiting += 1
        try:
            yield
        finally:
            with self._sharing:
                self._waiting -= 1

    def rebalance(self) -> None:
        """Share out the CPUs again among those that asked for a number of them; what fails is told in the log."""
        with self._sharing:
            if not self._waiting:
                self._share_out(lambda running, cpus: cpus == running.cpus)

    def host_has_other_cpus(self) -> None:
        """As `rebalance` when CPUs of the host came or went: on v1 the kernel takes away those that go, for good."""
        usable = cpuset.usable()
        with self._sharing:
            self._share_out(lambda running, cpus: cpuset.chosen(running.payload()) in (None, cpus or usable))

    def _share_out(self, has_them: Callable[[Running, set[int] | None], bool]) -> None:
        shares = self._shares({})
        for running in list(self._running.values()):
            cpus = shares.get(running.name)
            if running.ending or has_them(running, cpus):
                continue
            if self._pin(running, cpuset.usable() if cpus is None else cpus):
                running.cpus = cpus

    @staticmethod
    def _pin(running: Running, cpus: Collection[int]) -> bool:
        groups = running.payload()
        if "cpuset" not in groups:
            return running.try_write(cpu.pin(cpus))
        try:
            cpuset.pin(groups["cpuset"], cpuset.listed(cpus))
        except FileNotFoundError:  # it has just ended
            return False
        except OSError as error:
            log.warning("instance %s cannot run on CPUs %s: %s", running.name, cpuset.listed(cpus), error.strerror)
            return False
        return True

    def _shares(self, more: Mapping[str, Mapping[str, str]]) -> dict[str, set[int]]:
        """Which CPUs each container gets that has limits.cpu, with these beside those that run."""
        running = list(self._running.items())
        configs = {name: one.config or {} for name, one in running if not one.ending} | dict(more)
        wanted = {name: config[limits.CPUS] for name, config in configs.items() if config.get(limits.CPUS)}
        return cpu.share_out(wanted, cpuset.usable()) if wanted else {}
