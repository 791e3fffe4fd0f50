"""limits.disk.priority. Source: LXD; cgroup-v1/blkio-controller.rst, block/bfq-iosched.rst, cgroup-v2.rst."""

from collections.abc import Mapping

from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import HostFacts

KEYS = ("limits.disk.priority",)
USUAL = "100"
USUAL_CFQ = "500"


def settings(config: Mapping[str, str], host: HostFacts, *, reset: bool = False) -> list[Setting]:
    """A hundred of weight for each step; the lowest is ten. Kernels from 5.0 on have BFQ's weights only (v1)."""
    has_cfq = host.cgroups.has("blkio.weight", version=1)
    file_v1 = "blkio.weight" if has_cfq or not host.cgroups.has("blkio.bfq.weight", version=1) else "blkio.bfq.weight"
    file_v2 = "io.weight" if host.cgroups.has("io.weight", version=2) else "io.bfq.weight"
    text = config.get("limits.disk.priority", "")
    if text:
        weight = str(max(10, int(text) * 100))
        return [Setting(file_v1, file_v2, weight, weight)]
    return [Setting(file_v1, file_v2, USUAL_CFQ if has_cfq else USUAL, USUAL)] if reset else []
