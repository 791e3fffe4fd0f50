"""Limits, system calls and other settings of a container in the runtime engine, with real containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightervisor.errors import HostError
from lightervisor.kernel import cgroup
from lightervisor.runtime.limiter import Wanted
from tests.harness.runtime_host import Host, proc

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")


def _limit(host: Host, file: str) -> str:
    pid = host.containers.init_pid(host.name)
    assert pid is not None
    return (cgroup.payload(pid, host.name)[file.partition(".")[0]] / file).read_text().strip()


async def test_limits_hold_from_the_start_and_change_live(host: Host) -> None:
    if not cgroup.offered().has("memory.limit_in_bytes", version=1):
        pytest.skip("this host has no memory controller on cgroup v1")
    config = {"limits.memory": "64MiB", "limits.processes": "50", "limits.cpu.allowance": "20ms/100ms"}
    await host.start(config)
    assert _limit(host, "memory.limit_in_bytes") == str(64 << 20)
    assert _limit(host, "memory.soft_limit_in_bytes") == str((64 << 20) * 9 // 10 // 4096 * 4096)
    assert (_limit(host, "pids.max"), _limit(host, "cpu.cfs_quota_us")) == ("50", "20000")
    host.containers.apply_limits(host.name, Wanted({"limits.memory": "32MiB", "limits.cpu": "0-0"}))
    assert _limit(host, "memory.limit_in_bytes") == str(32 << 20)
    assert (_limit(host, "pids.max"), _limit(host, "cpu.cfs_quota_us")) == ("max", "-1")
    assert _limit(host, "cpuset.cpus") == "0"
    with pytest.raises(HostError, match="refused"):
        host.containers.apply_limits(host.name, Wanted({"limits.memory": "1B", "limits.cpu": "0-0"}))
    assert _limit(host, "memory.limit_in_bytes") == str(32 << 20)


async def test_usage_counts_what_the_container_does(host: Host) -> None:
    await host.start()
    before = host.containers.usage(host.name)
    await host.run("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    after = host.containers.usage(host.name)
    assert after.cpu_ns > before.cpu_ns
    assert after.processes >= 2 and after.memory > 0


@pytest.mark.parametrize(
    "config",
    [
        {"limits.disk.priority": "3"},
        {"limits.hugepages.2MB": "4MiB"},
        {"limits.cpu": "1", "limits.cpu.priority": "3"},
        {"limits.memory": "50%", "limits.memory.enforce": "soft", "limits.memory.swap": "false"},
        {"limits.kernel.nofile": "100:200", "linux.sysctl.net.ipv4.ip_forward": "1", "environment.A": "b c"},
        {"security.nesting": "true"},
        {"security.syscalls.deny": "mkdirat errno 1\nkeyctl", "security.syscalls.deny_compat": "true"},
        {"security.syscalls.deny_default": "false"},
    ],
    ids=lambda config: next(iter(config)),
)
async def test_every_setting_starts(host: Host, config: dict[str, str]) -> None:
    await host.start(config)
    assert (await host.run("true"))[0] == 0


async def test_settings_of_the_kernel_are_seen_inside(host: Host) -> None:
    config = {"limits.kernel.nofile": "100:200", "linux.sysctl.net.ipv4.ip_forward": "1", "environment.A": "b c"}
    pid = await host.start(config)
    assert await host.run("cat", "/proc/sys/net/ipv4/ip_forward") == (0, "1\n")
    assert "A=b c" in proc(pid, "environ")
    status, words = await host.run("sh", "-c", "grep 'open files' /proc/1/limits")
    assert status == 0 and words.split()[3:5] == ["100", "200"]


async def test_a_refused_system_call_looks_missing(host: Host) -> None:
    await host.start({"security.syscalls.deny": "mkdirat errno 1\nmkdir errno 1"})
    status, words = await host.run("mkdir", "/tmp/x")
    assert status == 1 and "not permitted" in words


async def test_a_privileged_container_cannot_open_the_hosts_disks(host: Host) -> None:
    host.idmap = None
    host.own()
    pid = await host.start({"security.privileged": "true"})
    assert proc(pid, "uid_map").split()[:2] == ["0", "0"]
    major, minor = _some_disk()
    status, words = await host.run("sh", "-c", f"mknod /tmp/disk b {major} {minor} && head -c 1 /tmp/disk")
    assert status != 0 and "not permitted" in words
    assert (await host.run("sh", "-c", "echo x >/dev/null && head -c 1 /dev/zero >/dev/null"))[0] == 0


def _some_disk() -> tuple[str, str]:
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor, *_ = line.split()
        return major, minor
    pytest.skip("this host has no block device")
