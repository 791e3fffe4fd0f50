"""Limits as cgroup settings, for v1 and v2 at once: liblxc uses those of the hierarchy it finds.

Pure functions from configuration to settings; `Setting` says the same for a running container.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lightervisor.config import sizes
from lightervisor.config.types import cpu_set, is_true
from lightervisor.errors import Unsupported
from lightervisor.runtime.spec import HostFacts, Lines

UNLIMITED_V1 = "9223372036854771712"


class Setting(NamedTuple):
    """One value of one cgroup file, by version; an empty name has no counterpart there."""

    v1: str
    v2: str
    value_v1: str
    value_v2: str


def settings(config: Mapping[str, str], host: HostFacts, *, reset: bool = False) -> list[Setting]:
    """Every cgroup value the configuration asks for; with `reset` also those that lift a limit again."""
    return [
        *_memory(config, host, reset=reset),
        *_cpu(config, host, reset=reset),
        *_processes(config, reset=reset),
        *_disk(config, reset=reset),
    ]


def lines(config: Mapping[str, str], host: HostFacts) -> Lines:
    """The liblxc lines of all limits."""
    found: Lines = []
    for one in settings(config, host):
        if one.v1:
            found.append((f"lxc.cgroup.{one.v1}", one.value_v1))
        if one.v2:
            found.append((f"lxc.cgroup2.{one.v2}", one.value_v2))
    return found


def memory_bytes(text: str, host: HostFacts) -> int:
    """A memory limit in bytes, of a size or of a share of the host's memory."""
    return host.memory_bytes * int(text[:-1]) // 100 if text.endswith("%") else sizes.parse(text)


def _memory(config: Mapping[str, str], host: HostFacts, *, reset: bool) -> list[Setting]:
    text = config.get("limits.memory", "")
    found: list[Setting] = []
    if text:
        limit = memory_bytes(text, host)
        if config.get("limits.memory.enforce") == "soft":
            found.append(Setting("memory.soft_limit_in_bytes", "memory.high", str(limit), str(limit)))
        else:
            soft = str(limit * 9 // 10)
            found.append(Setting("memory.limit_in_bytes", "memory.max", str(limit), str(limit)))
            found.append(Setting("memory.soft_limit_in_bytes", "", soft, ""))
    elif reset:
        found.append(Setting("memory.limit_in_bytes", "memory.max", UNLIMITED_V1, "max"))
        found.append(Setting("memory.soft_limit_in_bytes", "memory.high", UNLIMITED_V1, "max"))
    swap = config.get("limits.memory.swap", "")
    priority = config.get("limits.memory.swap.priority", "")
    if swap and not is_true(swap):
        found.append(Setting("memory.swappiness", "memory.swap.max", "0", "0"))
    elif priority:
        found.append(Setting("memory.swappiness", "", str(60 - int(priority) + 10), ""))
    elif reset:
        found.append(Setting("memory.swappiness", "memory.swap.max", "60", "max"))
    return found


def _cpu(config: Mapping[str, str], host: HostFacts, *, reset: bool) -> list[Setting]:
    found: list[Setting] = []
    chosen = cpu_set(config["limits.cpu"]) if config.get("limits.cpu") else None
    if chosen is not None or reset:
        cpus = chosen if isinstance(chosen, set) else set(range(min(chosen or host.cpu_count, host.cpu_count)))
        text = ",".join(map(str, sorted(cpus)))
        found.append(Setting("cpuset.cpus", "cpuset.cpus", text, text))
    allowance, priority = config.get("limits.cpu.allowance", ""), int(config.get("limits.cpu.priority") or 10)
    share = 100
    quota: tuple[str, str] | None = None
    if allowance.endswith("%"):
        share = int(allowance[:-1])
    elif allowance:
        time, _, period = allowance.partition("/")
        quota = str(int(time.removesuffix("ms")) * 1000), str(int(period.removesuffix("ms")) * 1000)
    if quota:
        found.append(Setting("cpu.cfs_period_us", "cpu.max", quota[1], f"{quota[0]} {quota[1]}"))
        found.append(Setting("cpu.cfs_quota_us", "", quota[0], ""))
    elif reset:
        found.append(Setting("cpu.cfs_quota_us", "cpu.max", "-1", "max 100000"))
    if share != 100 or priority != 10 or reset:
        shares = str(max(2, 1024 * share // 100 - (10 - priority)))
        weight = str(max(1, share - (10 - priority)))
        found.append(Setting("cpu.shares", "cpu.weight", shares, weight))
    return found


def _processes(config: Mapping[str, str], *, reset: bool) -> list[Setting]:
    value = config.get("limits.processes") or ("max" if reset else "")
    return [Setting("pids.max", "pids.max", value, value)] if value else []


def _disk(config: Mapping[str, str], *, reset: bool) -> list[Setting]:
    text = config.get("limits.disk.priority") or ("5" if reset else "")
    if not text:
        return []
    weight = str(max(10, int(text) * 100))
    return [Setting("blkio.weight", "io.weight", weight, weight)]


def check_host(config: Mapping[str, str]) -> None:
    """Raise Unsupported for a limit that needs what this host lacks."""
    for name in config:
        if name.startswith("limits.hugepages."):
            raise Unsupported("limit", name, cause="the huge page limit is not offered yet", remedy=f"unset {name}")
