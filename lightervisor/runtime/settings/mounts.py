"""What is mounted in every container: proc, sys, cgroups, devices, and lxcfs over what would show the host."""

import os
from pathlib import Path

from lightervisor.config.types import is_true
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Lines

DEVICES = ("/dev/fuse", "/dev/net/tun")
HOST_FILES = (
    "/proc/sys/fs/binfmt_misc", "/sys/fs/fuse/connections", "/sys/fs/pstore", "/sys/kernel/config",
    "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing",
)  # fmt: skip
LXCFS_FILES = (
    "proc/cpuinfo", "proc/diskstats", "proc/loadavg", "proc/meminfo", "proc/stat", "proc/swaps", "proc/uptime",
    "proc/slabinfo", "sys/devices/system/cpu",
)  # fmt: skip


def escape(path: str | Path) -> str:
    """A path as a field of lxc.mount.entry, where spaces separate fields. Source: fstab(5)."""
    return os.fspath(path).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")


def lines(spec: ContainerSpec, host: HostFacts) -> Lines:
    """The lines, from what LXD writes for the same container."""
    nesting = is_true(spec.config.get("security.nesting"))
    found: Lines = [("lxc.mount.auto", "proc:rw sys:rw cgroup:mixed")]
    entries = ["mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0"]
    entries += [f"{device} {device[1:]} none bind,create=file,optional 0 0" for device in DEVICES]
    entries += [f"{path} {path[1:]} none rbind,create=dir,optional 0 0" for path in HOST_FILES]
    if nesting:
        entries.append("proc dev/.lxc/proc proc create=dir,optional 0 0")
        entries.append("sys dev/.lxc/sys sysfs create=dir,optional 0 0")
    if host.lxcfs is not None:
        for name in LXCFS_FILES:
            if (host.lxcfs / name).exists():
                kind = "dir" if (host.lxcfs / name).is_dir() else "file"
                entries.append(f"{escape(host.lxcfs / name)} {name} none bind,create={kind},optional 0 0")
    return found + [("lxc.mount.entry", entry) for entry in entries]
