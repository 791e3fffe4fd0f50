"""One limit as cgroup files, for v1 and v2 at once; what is written is decided for each controller."""

from collections.abc import Iterable
from typing import NamedTuple

from lightervisor.runtime.spec import HostFacts, Lines


class Setting(NamedTuple):
    """One value of one cgroup file, by version; an empty name has no counterpart there.

    `is_beside`: it goes with a limit, which holds without it on a host that does not have the file.
    """

    v1: str
    v2: str
    value_v1: str
    value_v2: str
    is_beside: bool = False

    @property
    def files(self) -> tuple[str, str, str, str]:
        """What `cgroup.write` takes."""
        return self[:4]


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
    """The files of limits that this host cannot follow. A file of v1 alone has others beside it that say it on v2."""
    return [one.v1 for one in settings if one.v1 and not one.is_beside and _is_missing(one, host)]


def _is_missing(one: Setting, host: HostFacts) -> bool:
    if host.cgroups.has(one.v1, version=1):
        return False
    if one.v2:
        return not host.cgroups.has(one.v2, version=2)
    controller = one.v1.partition(".")[0]
    return {"blkio": "io"}.get(controller, controller) not in host.cgroups.controllers_v2


def controllers_v2(settings: Iterable[Setting], host: HostFacts) -> set[str]:
    """The controllers of v2 that these settings need on this host."""
    return {key.split(".")[2] for key, _ in lines(settings, host) if key.startswith("lxc.cgroup2.")}
