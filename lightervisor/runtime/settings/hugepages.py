"""limits.hugepages.*. Source: cgroup-v1/hugetlb.rst."""

from collections.abc import Mapping

from lightervisor.config import sizes
from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import HostFacts

SIZES = ("64KB", "1MB", "2MB", "1GB")
KEYS = tuple(f"limits.hugepages.{size}" for size in SIZES)
UNLIMITED_V1 = "9223372036854771712"


def settings(config: Mapping[str, str], _host: HostFacts, *, reset: bool = False) -> list[Setting]:
    """The most memory in huge pages of each size. Raises Invalid."""
    found: list[Setting] = []
    for size in SIZES:
        text = config.get(f"limits.hugepages.{size}", "")
        if text:
            limit = str(sizes.parse(text))
            found.append(Setting(f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.max", limit, limit))
        elif reset:
            found.append(Setting(f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.max", UNLIMITED_V1, "max"))
    return found
