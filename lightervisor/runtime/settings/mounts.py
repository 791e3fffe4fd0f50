"""What is mounted in every container: proc, sys, cgroups, devices, and the places of nesting and of the guest API."""

import os
from pathlib import Path

from lightervisor.config.types import is_true
from lightervisor.runtime.spec import ContainerSpec, Lines

DEVICES = ("/dev/fuse", "/dev/net/tun")
HOST_PATHS = (
    "/proc/sys/fs/binfmt_misc", "/sys/fs/fuse/connections", "/sys/fs/pstore", "/sys/kernel/config",
    "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing",
)  # fmt: skip


def escape(path: str | Path) -> str:
    """A path as a field of lxc.mount.entry, where spaces separate fields. Source: fstab(5)."""
    return os.fspath(path).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")


def lines(spec: ContainerSpec) -> Lines:
    """The lines, from what LXD writes for the same container; what this host does not have is left out."""
    entries = ["mqueue dev/mqueue mqueue rw,relatime,create=dir,optional 0 0"]
    entries += [f"{path} {path[1:]} none bind,create=file,optional 0 0" for path in DEVICES if Path(path).exists()]
    entries += [f"{path} {path[1:]} none rbind,create=dir,optional 0 0" for path in HOST_PATHS if Path(path).is_dir()]
    if is_true(spec.config.get("security.nesting")):
        entries.append("proc dev/.lxc/proc proc create=dir,optional 0 0")
        entries.append("sys dev/.lxc/sys sysfs create=dir,optional 0 0")
    if spec.devlxd is not None:
        entries.append(f"{escape(spec.devlxd)} dev/lxd none bind,ro,create=dir 0 0")
    found: Lines = [("lxc.mount.auto", "proc:rw sys:rw cgroup:mixed")]
    return found + [("lxc.mount.entry", entry) for entry in entries]
