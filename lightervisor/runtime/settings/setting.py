"""One limit as cgroup files, for v1 and v2 at once; what is written is decided for each controller."""

from collections.abc import Iterable
from typing import NamedTuple

from lightervisor.runtime.spec import HostFacts, Lines


class Setting(NamedTuple):
    """One value of one cgroup file, by version; an empty name has no counterpart there."""

    v1: str
    v2: str
    value_v1: str
    value_v2: str

    @property
    def controller(self) -> str:
        """The controller's name on a host where it is on v1, or else on v2."""
        return (self.v1 or self.v2).partition(".")[0]


def lines(settings: Iterable[Setting], host: HostFacts) -> Lines:
    """The liblxc lines of those settings that this host's cgroups have."""
    found: Lines = []
    for one in settings:
        if one.v1 and host.cgroups.has(one.v1, version=1):
            found.append((f"lxc.cgroup.{one.v1}", one.value_v1))
        elif one.v2 and host.cgroups.has(one.v2, version=2):
            found.append((f"lxc.cgroup2.{one.v2}", one.value_v2))
    return found


def missing(settings: Iterable[Setting], host: HostFacts) -> list[str]:
    """The files of settings that this host cannot follow, to be told in the log as LXD does."""
    return [
        one.v1 or one.v2
        for one in settings
        if one.v1 and not host.cgroups.has(one.v1, version=1) and not (one.v2 and host.cgroups.has(one.v2, version=2))
    ]
