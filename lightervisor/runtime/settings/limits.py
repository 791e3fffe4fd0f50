"""All limits that are cgroup settings: for the configuration file, and for a container that runs."""

from collections.abc import Collection, Mapping
from typing import Protocol

from lightervisor.runtime.settings import cpu, disk_priority, hugepages, memory, processes, setting
from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import HostFacts, Lines

CPUS = "limits.cpu"


class Group(Protocol):
    """One file of this folder that declares limits."""

    @property
    def KEYS(self) -> tuple[str, ...]:
        """The keys that it reads."""
        ...

    def settings(self, config: Mapping[str, str], host: HostFacts, /, *, reset: bool = False) -> list[Setting]:
        """The cgroup values a configuration asks for; with `reset` also those that lift a limit again."""
        ...


GROUPS: tuple[Group, ...] = (memory, cpu, processes, disk_priority, hugepages)


def settings(config: Mapping[str, str], host: HostFacts) -> list[Setting]:
    """Every value a configuration asks for, but which CPUs: that depends on the others."""
    return [one for group in GROUPS for one in group.settings(config, host)]


def lines(config: Mapping[str, str], host: HostFacts, cpus: Collection[int] | None = None) -> Lines:
    """The liblxc lines of all limits, on these CPUs when given."""
    wanted = settings(config, host)
    return setting.lines([*wanted, *([cpu.pin(cpus)] if cpus else [])], host)


def changes(before: Mapping[str, str] | None, after: Mapping[str, str], host: HostFacts) -> list[tuple[Setting, bool]]:
    """What a running container must be told, each with whether it is a limit (or only lifts one).

    Groups none of whose keys changed are left alone; `before` unknown changes all.
    """
    found: list[tuple[Setting, bool]] = []
    for group in GROUPS:
        if before is None or any(before.get(key) != after.get(key) for key in group.KEYS):
            wanted = set(group.settings(after, host))
            found += [(one, one in wanted) for one in group.settings(after, host, reset=True)]
    return found
