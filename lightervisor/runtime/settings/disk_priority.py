"""limits.disk.priority. Source: LXD; cgroup-v1/blkio-controller.rst, cgroup-v2.rst."""

from collections.abc import Mapping

from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import HostFacts

KEYS = ("limits.disk.priority",)
USUAL = "5"


def settings(config: Mapping[str, str], _host: HostFacts, *, reset: bool = False) -> list[Setting]:
    """A hundred of weight for each step; the lowest is the kernel's least."""
    text = config.get("limits.disk.priority") or (USUAL if reset else "")
    if not text:
        return []
    weight = str(max(10, int(text) * 100))
    return [Setting("blkio.weight", "io.weight", weight, weight)]
