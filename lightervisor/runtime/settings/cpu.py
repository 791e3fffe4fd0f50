"""limits.cpu, .allowance and .priority; sharing out the CPUs of those that asked for a number of them.

Source: LXD; scheduler/sched-bwc.rst, cgroup-v1/cpusets.rst, cgroup-v2.rst.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from lightervisor.config.types import cpu_set
from lightervisor.kernel import cpuset
from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import HostFacts

KEYS = ("limits.cpu.allowance", "limits.cpu.priority")
HIGHEST_PRIORITY = 10


def share_out(wanted: Mapping[str, str], cpus: Iterable[int]) -> dict[str, set[int]]:
    """The CPUs of each container, from the values of limits.cpu of all that run.

    A set stays as it is, as far as the host has its CPUs; a number gets the CPUs that fewest others have. Zero is
    no limit, as on LXD. Names are taken in order, so the same question has the same answer.
    """
    available = sorted(cpus)
    load: Counter[int] = Counter()
    found: dict[str, set[int]] = {}
    counts: list[tuple[str, int]] = []
    for name, value in sorted(wanted.items()):
        chosen = cpu_set(value)
        if isinstance(chosen, int):
            counts.append((name, min(chosen or len(available), len(available))))
        else:
            found[name] = chosen & set(available) or set(available)
            load.update(found[name])
    for name, count in counts:
        found[name] = set(sorted(available, key=lambda cpu: (load[cpu], cpu))[:count])
        load.update(found[name])
    return found


def pin(cpus: Iterable[int]) -> Setting:
    """The setting that keeps a container on these CPUs."""
    return Setting("cpuset.cpus", "cpuset.cpus", cpuset.listed(cpus), cpuset.listed(cpus))


def settings(config: Mapping[str, str], _host: HostFacts, *, reset: bool = False) -> list[Setting]:
    """Quota and weight: "50%" is a share of what is contended, "25ms/100ms" a limit; priorities take off a little."""
    allowance = config.get("limits.cpu.allowance", "")
    priority = int(config.get("limits.cpu.priority") or HIGHEST_PRIORITY)
    found: list[Setting] = []
    share = 100
    if "/" in allowance:
        time, period = (str(int(part.strip().removesuffix("ms")) * 1000) for part in allowance.split("/"))
        found.append(Setting("cpu.cfs_period_us", "cpu.max", period, f"{time} {period}"))
        found.append(Setting("cpu.cfs_quota_us", "", time, ""))
    else:
        share = int(allowance.removesuffix("%") or 100)
        if reset:
            found.append(Setting("cpu.cfs_quota_us", "cpu.max", "-1", "max 100000"))
    if share != 100 or priority != HIGHEST_PRIORITY or reset:
        less = HIGHEST_PRIORITY - priority
        shares, weight = max(2, 1024 * share // 100 - less), min(max(1, share - less), 10000)
        found.append(Setting("cpu.shares", "cpu.weight", str(shares), str(weight)))
    return found
