"""limits.processes. Source: cgroup-v1/pids.rst."""

from collections.abc import Mapping

from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import HostFacts

KEYS = ("limits.processes",)


def settings(config: Mapping[str, str], _host: HostFacts, *, reset: bool = False) -> list[Setting]:
    """The most processes and threads; a negative number is no limit, as on LXD."""
    value = config.get("limits.processes") or ("max" if reset else "")
    value = "max" if value.startswith("-") else value.removeprefix("+")
    return [Setting("pids.max", "pids.max", value, value)] if value else []
