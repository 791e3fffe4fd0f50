"""Every key that LXD 5.0.2 has for containers and profiles is declared, and applies live where LXD applies it live."""

from __future__ import annotations

from lightervisor.config import instance_keys
from lightervisor.config.key import INSTANCE, MACHINE, REGISTRY

LIVE = [
    "boot.host_shutdown_timeout",
    "environment.A",
    "limits.cpu",
    "limits.cpu.allowance",
    "limits.cpu.priority",
    "limits.disk.priority",
    "limits.hugepages.64KB",
    "limits.hugepages.1MB",
    "limits.hugepages.2MB",
    "limits.hugepages.1GB",
    "limits.memory",
    "limits.memory.enforce",
    "limits.memory.swap",
    "limits.memory.swap.priority",
    "limits.network.priority",
    "limits.processes",
    "linux.kernel_modules",
    "migration.incremental.memory",
    "migration.incremental.memory.goal",
    "migration.incremental.memory.iterations",
    "raw.apparmor",
    "security.devlxd",
    "security.devlxd.images",
    "security.nesting",
    "security.protection.delete",
    "security.protection.shift",
    "security.syscalls.intercept.mount.allowed",
    "security.syscalls.intercept.mount.fuse",
    "security.syscalls.intercept.mount.shift",
    "snapshots.schedule",
    "snapshots.schedule.stopped",
    "snapshots.pattern",
    "snapshots.expiry",
    "user.a",
]
AT_START = [
    "migration.stateful",
    "boot.autostart",
    "boot.autostart.delay",
    "boot.autostart.priority",
    "boot.stop.priority",
    "cloud-init.network-config",
    "cloud-init.user-data",
    "cloud-init.vendor-data",
    "cluster.evacuate",
    "linux.sysctl.a",
    "nvidia.driver.capabilities",
    "nvidia.require.cuda",
    "nvidia.require.driver",
    "nvidia.runtime",
    "raw.idmap",
    "raw.lxc",
    "raw.seccomp",
    "security.idmap.base",
    "security.idmap.isolated",
    "security.idmap.size",
    "security.privileged",
    "security.syscalls.allow",
    "security.syscalls.deny",
    "security.syscalls.deny_compat",
    "security.syscalls.deny_default",
    "security.syscalls.whitelist",
    "security.syscalls.blacklist",
    "security.syscalls.blacklist_default",
    "security.syscalls.blacklist_compat",
    "security.syscalls.intercept.bpf",
    "security.syscalls.intercept.bpf.devices",
    "security.syscalls.intercept.mknod",
    "security.syscalls.intercept.mount",
    "security.syscalls.intercept.sched_setscheduler",
    "security.syscalls.intercept.setxattr",
    "image.a",
    "limits.kernel.as",
    "limits.kernel.core",
    "limits.kernel.cpu",
    "limits.kernel.data",
    "limits.kernel.fsize",
    "limits.kernel.locks",
    "limits.kernel.memlock",
    "limits.kernel.nice",
    "limits.kernel.nofile",
    "limits.kernel.nproc",
    "limits.kernel.rtprio",
    "limits.kernel.sigpending",
]
MACHINES = [
    "limits.memory.hugepages",
    "raw.qemu",
    "raw.qemu.conf",
    "security.agent.metrics",
    "security.secureboot",
    "agent.nic_config",
]
VOLATILE = [
    "apply_template",
    "apply_nvram",
    "base_image",
    "cloud-init.instance-id",
    "evacuate.origin",
    "idmap.base",
    "idmap.current",
    "idmap.next",
    "last_state.idmap",
    "last_state.power",
    "uuid",
    "vsock_id",
    "apply_quota",
    "d.apply_quota",
    "d.ceph_rbd",
    "d.driver",
    "d.host_name",
    "d.hwaddr",
    "d.name",
    "d.uuid",
    "d.last_state.created",
    "d.last_state.mtu",
    "d.last_state.hwaddr",
    "d.last_state.vf.id",
    "d.last_state.vf.hwaddr",
    "d.last_state.vf.vlan",
    "d.last_state.vf.spoofcheck",
    "d.last_state.vf.parent",
]


def test_every_key_is_declared() -> None:
    assert instance_keys.SCOPE == INSTANCE
    wanted = [*LIVE, *AT_START, *(f"volatile.{name}" for name in VOLATILE)]
    assert [name for name in wanted if REGISTRY.lookup(INSTANCE, name) is None] == []
    assert [name for name in MACHINES if REGISTRY.lookup(MACHINE, name) is None] == []
    assert [name for name in MACHINES if REGISTRY.lookup(INSTANCE, name) is not None] == []


def test_keys_apply_live_where_they_do_on_lxd() -> None:
    for is_live, names in ((True, LIVE), (False, AT_START)):
        found = {name: REGISTRY.lookup(INSTANCE, name) for name in names}
        assert [name for name, key in found.items() if key is not None and key.live != is_live] == []
