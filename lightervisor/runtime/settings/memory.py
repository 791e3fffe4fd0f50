"""limits.memory and its kin. Source: LXD; cgroup-v1/memory.rst, cgroup-v2.rst."""

from collections.abc import Mapping

from lightervisor.config import sizes
from lightervisor.config.types import is_true
from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import HostFacts

KEYS = ("limits.memory", "limits.memory.enforce", "limits.memory.swap", "limits.memory.swap.priority")
UNLIMITED_V1 = "9223372036854771712"
SWAPPINESS = 60


def limit_bytes(text: str, host: HostFacts) -> int:
    """A memory limit in bytes, of a size or of a share of the host's memory. Raises Invalid."""
    return host.memory_bytes * int(text[:-1]) // 100 if text.endswith("%") else sizes.parse(text)


def settings(config: Mapping[str, str], host: HostFacts, *, reset: bool = False) -> list[Setting]:
    """A hard limit also gets a soft one at nine tenths, so that reclaim starts before anything is killed."""
    found: list[Setting] = []
    text = config.get("limits.memory", "")
    if text:
        limit = limit_bytes(text, host)
        if config.get("limits.memory.enforce") == "soft":
            if reset:
                found.append(Setting("memory.limit_in_bytes", "memory.max", UNLIMITED_V1, "max"))
            found.append(Setting("memory.soft_limit_in_bytes", "memory.high", str(limit), str(limit)))
        else:
            if reset:
                found.append(Setting("", "memory.high", "", "max"))
            found.append(Setting("memory.limit_in_bytes", "memory.max", str(limit), str(limit)))
            found.append(Setting("memory.soft_limit_in_bytes", "", str(limit * 9 // 10), ""))
    elif reset:
        found.append(Setting("memory.limit_in_bytes", "memory.max", UNLIMITED_V1, "max"))
        found.append(Setting("memory.soft_limit_in_bytes", "memory.high", UNLIMITED_V1, "max"))
    return found + _swap(config, reset=reset)


def _swap(config: Mapping[str, str], *, reset: bool) -> list[Setting]:
    swap, priority = config.get("limits.memory.swap", ""), config.get("limits.memory.swap.priority", "")
    if swap and not is_true(swap):
        return [Setting("memory.swappiness", "memory.swap.max", "0", "0")]
    if priority:
        lifted = [Setting("", "memory.swap.max", "", "max")] if reset else []
        return [*lifted, Setting("memory.swappiness", "", str(SWAPPINESS - int(priority) + 10), "")]
    return [Setting("memory.swappiness", "memory.swap.max", str(SWAPPINESS), "max")] if reset else []
