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
    """A hard limit also gets a soft one at nine tenths, so that reclaim starts before anything is killed.

    What is swapped out counts too, as on LXD: on v1 with the memory, on v2 up to the same amount.
    """
    # The sum of memory and swap can never be below the limit of memory: it is lifted first and set last.
    found = [Setting("memory.memsw.limit_in_bytes", "", UNLIMITED_V1, "")] if reset else []
    text = config.get("limits.memory", "")
    is_swapped = is_true(config.get("limits.memory.swap") or "true")
    if not text:
        if reset:
            found.append(Setting("memory.limit_in_bytes", "memory.max", UNLIMITED_V1, "max"))
            found.append(Setting("memory.soft_limit_in_bytes", "memory.high", UNLIMITED_V1, "max"))
            found.append(Setting("", "memory.swap.max", "", "max"))
    elif config.get("limits.memory.enforce") == "soft":
        limit = str(limit_bytes(text, host))
        if reset:
            found.append(Setting("memory.limit_in_bytes", "memory.max", UNLIMITED_V1, "max"))
            found.append(Setting("", "memory.swap.max", "", "max"))
        found.append(Setting("memory.soft_limit_in_bytes", "memory.high", limit, limit))
    else:
        limit = limit_bytes(text, host)
        if reset:
            found.append(Setting("", "memory.high", "", "max"))
        found.append(Setting("memory.limit_in_bytes", "memory.max", str(limit), str(limit)))
        if is_swapped:
            found.append(
                Setting("memory.memsw.limit_in_bytes", "memory.swap.max", str(limit), str(limit), is_beside=True)
            )
        found.append(Setting("memory.soft_limit_in_bytes", "", str(limit * 9 // 10), "", is_beside=True))
    return found + _swap(config, is_swapped=is_swapped, reset=reset)


def _swap(config: Mapping[str, str], *, is_swapped: bool, reset: bool) -> list[Setting]:
    if not is_swapped:
        return [Setting("memory.swappiness", "memory.swap.max", "0", "0")]
    if priority := config.get("limits.memory.swap.priority", ""):
        return [Setting("memory.swappiness", "", str(SWAPPINESS - int(priority) + 10), "")]
    return [Setting("memory.swappiness", "", str(SWAPPINESS), "")] if reset else []
