"""Files of lxcfs over those of proc and sys that would show the host's CPUs, memory and uptime. Source: lxcfs(1)."""

from pathlib import Path

from lightervisor.runtime.settings.mounts import escape
from lightervisor.runtime.spec import Lines

FILES = (
    "proc/cpuinfo", "proc/diskstats", "proc/loadavg", "proc/meminfo", "proc/stat", "proc/swaps", "proc/uptime",
    "proc/slabinfo", "sys/devices/system/cpu",
)  # fmt: skip


def lines(lxcfs: Path | None) -> Lines:
    """A bind for each file that the running lxcfs has; none when no lxcfs runs."""
    if lxcfs is None:
        return []
    return [
        ("lxc.mount.entry", f"{escape(lxcfs / name)} {name} none bind,optional 0 0")
        for name in FILES
        if (lxcfs / name).exists()
    ]
