"""Limits: what a user sets is in the container's cgroup and seen inside, live and after a restart, and lifted again."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from lightervisor.kernel import cgroup, cpuset
from tests.conftest import discard
from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

MIB = 1 << 20
CPUS = cpuset.usable()
needs_v1 = pytest.mark.skipif(
    not cgroup.offered().has("memory.limit_in_bytes", version=1), reason="reads the files of cgroup v1"
)


def payload(daemon: Daemon, name: str) -> Mapping[str, Path]:
    """The cgroups of a running instance, by controller."""
    return cgroup.payload(daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"], name)


def limit(daemon: Daemon, name: str, file: str) -> str:
    """What stands in one file of its cgroups."""
    groups, controller = payload(daemon, name), file.partition(".")[0]
    return (groups.get(controller, groups.get("", Path())) / file).read_text().strip()


@needs_v1
@pytest.mark.parametrize(
    ("config", "files"),
    [
        ({"limits.memory": "64MiB"}, {"memory.limit_in_bytes": str(64 * MIB)}),
        ({"limits.memory": "64MiB", "limits.memory.enforce": "soft"}, {"memory.soft_limit_in_bytes": str(64 * MIB)}),
        ({"limits.memory.swap": "false"}, {"memory.swappiness": "0"}),
        ({"limits.memory.swap.priority": "3"}, {"memory.swappiness": "67"}),
        ({"limits.cpu.allowance": "25ms/100ms"}, {"cpu.cfs_quota_us": "25000", "cpu.shares": "1024"}),
        ({"limits.cpu.allowance": "50%", "limits.cpu.priority": "4"}, {"cpu.shares": "506"}),
        ({"limits.cpu": "0-0"}, {"cpuset.cpus": "0"}),
        ({"limits.processes": "50"}, {"pids.max": "50"}),
        ({"limits.hugepages.2MB": "4MiB"}, {"hugetlb.2MB.max": str(4 * MIB)}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_live_and_after_a_restart_and_lifted_again(
    daemon: Daemon, client: Client, running: str, config: dict[str, str], files: dict[str, str]
) -> None:
    if "hugetlb.2MB.max" in files and not cgroup.offered().has("hugetlb.2MB.max", version=2):
        pytest.skip("this host has no huge pages of 2 MB on cgroup v2")
    before = {} if "hugetlb.2MB.max" in files else {file: limit(daemon, running, file) for file in files}
    for key, value in config.items():
        client.set_config(running, key, value)
    assert {file: limit(daemon, running, file) for file in files} == files
    client.change_state(running, "restart", force=True)
    assert {file: limit(daemon, running, file) for file in files} == files
    for key in config:
        client.set_config(running, key, "")
    assert {file: limit(daemon, running, file) for file in before} == before


def test_the_tools_inside_agree(client: Client, running: str) -> None:
    client.set_config(running, "limits.memory", "512MB")
    client.set_config(running, "limits.cpu", "1")
    told = client.run(
        running, "sh", "-c", "grep -E 'MemTotal|SwapTotal' /proc/meminfo; nproc; grep -c ^processor /proc/cpuinfo"
    )
    words = told.stdout.split()
    assert int(words[1]) == 512_000_000 // 4096 * 4, "free -m says 488"
    assert words[-2:] == ["1", "1"]
    assert client.run(running, "cat", "/sys/devices/system/cpu/online").stdout.strip().isdecimal()
    root = client.run(running, "df", "-P", "/").stdout.splitlines()[1].split()
    assert int(root[1]) >= int(root[2]) + int(root[3]) > 0


def test_memory_beyond_the_limit_is_not_had(client: Client, running: str) -> None:
    client.set_config(running, "limits.memory", "32MiB")
    assert (
        client.run(running, "sh", "-c", "head -c 8000000 /dev/zero | tail -c 8000000 | wc -c").stdout.strip()
        == "8000000"
    )
    assert (
        client.run(running, "sh", "-c", "head -c 80000000 /dev/zero | tail -c 80000000 | wc -c").stdout.strip() == "0"
    )


@needs_v1
def test_a_limit_below_what_is_used_is_refused_and_the_old_one_stays(daemon: Daemon, either: Lxc, running: str) -> None:
    either("config", "set", running, "limits.memory=64MiB").ok()
    either("config", "set", running, "limits.memory=4KiB").failed("the kernel refused")
    assert either.config(running)["limits.memory"] == "64MiB"
    assert limit(daemon, running, "memory.limit_in_bytes") == str(64 * MIB)
    assert limit(daemon, running, "memory.memsw.limit_in_bytes") == str(64 * MIB)


def test_a_quota_holds_programs_back(daemon: Daemon, client: Client, running: str) -> None:
    client.set_config(running, "limits.cpu.allowance", "10ms/100ms")
    usage = f"/1.0/instances/{running}/state"
    before, began = daemon.request("GET", usage).metadata["cpu"]["usage"], time.monotonic()
    client.run(running, "timeout", "1", "sh", "-c", "while :; do :; done")
    used = (daemon.request("GET", usage).metadata["cpu"]["usage"] - before) / 1e9
    assert used < 0.2 * (time.monotonic() - began) + 0.05


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
def test_cpus_are_shared_out_as_containers_come_and_go(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    names = [f"{name}-{number}" for number in range(len(CPUS))]
    for one in names:
        lxc("launch", image, one, "-c", "limits.cpu=1").ok()
    pinned = {one: cpuset.parse(limit(daemon, one, "cpuset.cpus")) for one in names}
    assert sorted(cpu for cpus in pinned.values() for cpu in cpus) == sorted(CPUS), "each has one of its own"
    assert lxc("exec", names[0], "--", "nproc").ok().stdout == "1\n"
    discard(daemon, names[0])
    lxc("config", "set", names[1], "limits.cpu=2").ok()
    pinned = {one: cpuset.parse(limit(daemon, one, "cpuset.cpus")) for one in names[1:]}
    assert sorted(cpu for cpus in pinned.values() for cpu in cpus) == sorted(CPUS), "the one that is free is used"
    lxc("config", "unset", names[1], "limits.cpu").ok()
    assert cpuset.parse(limit(daemon, names[1], "cpuset.cpus")) == CPUS


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
def test_cpus_are_shared_out_after_a_crash_of_the_daemon(fresh_daemon: Daemon, fresh_image: str) -> None:
    daemon, source = fresh_daemon, {"type": "image", "alias": fresh_image}
    for one in ("one", "two"):
        body = {"name": one, "source": source, "config": {"limits.cpu": "1"}}
        assert daemon.operation("POST", "/1.0/instances", body)["err"] == ""
        if one == "two":
            daemon.kill()
            daemon.start()
        assert daemon.operation("PUT", f"/1.0/instances/{one}/state", {"action": "start"})["err"] == ""
    assert limit(daemon, "one", "cpuset.cpus") != limit(daemon, "two", "cpuset.cpus")


@needs_v1
@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
def test_sets_that_the_guest_made_follow(daemon: Daemon, lxc: Lxc, running: str) -> None:
    inner = payload(daemon, running)["cpuset"] / "inner"
    inner.mkdir()
    try:
        (inner / "cpuset.cpus").write_text(cpuset.listed(CPUS))
        lxc("config", "set", running, "limits.cpu=1").ok()
        assert (inner / "cpuset.cpus").read_text().strip() == limit(daemon, running, "cpuset.cpus")
        lxc("config", "unset", running, "limits.cpu").ok()
        assert cpuset.parse((inner / "cpuset.cpus").read_text()) == CPUS
    finally:
        inner.rmdir()


@needs_v1
def test_disks_are_slowed_down(daemon: Daemon, either: Lxc, running: str) -> None:
    with contextlib.suppress(AssertionError):
        either("config", "device", "override", running, "root", "limits.write=2MB", "limits.read=100iops").ok()
    device = limit(daemon, running, "blkio.throttle.write_bps_device").split()
    assert device[1:] == ["2000000"]
    assert limit(daemon, running, "blkio.throttle.read_iops_device").split() == [device[0], "100"]
    began = time.monotonic()
    assert either("exec", running, "--", "dd", "if=/dev/zero", "of=/x", "bs=500k", "count=4", "oflag=direct").ok()
    assert time.monotonic() - began > 0.6
    either("config", "device", "set", running, "root", "limits.max=3MB").ok()
    assert limit(daemon, running, "blkio.throttle.read_bps_device").split()[1:] == ["3000000"]
    assert limit(daemon, running, "blkio.throttle.read_iops_device") == ""
    either("restart", "--force", running).ok()
    assert limit(daemon, running, "blkio.throttle.write_bps_device").split()[1:] == ["3000000"]
    either("config", "device", "remove", running, "root").ok()
    assert limit(daemon, running, "blkio.throttle.write_bps_device") == ""


@needs_v1
def test_a_disk_of_the_host_is_slowed_down_without_being_unmounted(
    daemon: Daemon, either: Lxc, running: str, name: str
) -> None:
    source = daemon.state / f"disk-{name}"
    source.mkdir()
    try:
        either("config", "device", "add", running, "d", "disk", f"source={source}", "path=/mnt/d").ok()
        inside = either("exec", running, "--", "sh", "-c", "grep ' /mnt/d ' /proc/self/mountinfo | cut -d' ' -f1").ok()
        either("config", "device", "set", running, "d", "limits.read=5MB").ok()
        assert limit(daemon, running, "blkio.throttle.read_bps_device").split()[1:] == ["5000000"]
        after = either("exec", running, "--", "sh", "-c", "grep ' /mnt/d ' /proc/self/mountinfo | cut -d' ' -f1").ok()
        assert inside.stdout == after.stdout != ""
        either("config", "device", "remove", running, "d").ok()
        assert limit(daemon, running, "blkio.throttle.read_bps_device") == ""
    finally:
        source.rmdir()


@needs_v1
def test_a_volume_is_slowed_down(daemon: Daemon, either: Lxc, running: str, name: str) -> None:
    either("storage", "volume", "create", "default", f"v-{name}").ok()
    try:
        words = ("pool=default", f"source=v-{name}", "path=/mnt/d", "limits.write=4MB")
        either("config", "device", "add", running, "d", "disk", *words).ok()
        assert limit(daemon, running, "blkio.throttle.write_bps_device").split()[1:] == ["4000000"]
        either("config", "device", "remove", running, "d").ok()
        assert limit(daemon, running, "blkio.throttle.write_bps_device") == ""
    finally:
        either("storage", "volume", "delete", "default", f"v-{name}")


def test_memory_cannot_be_limited_as_a_disk(daemon: Daemon, either: Lxc, running: str) -> None:
    if os.major(Path("/dev/shm").stat().st_dev) != 0:
        pytest.skip("/dev/shm is on a disk here")
    words = ("config", "device", "add", running, "d", "disk", "source=/dev/shm", "path=/mnt/d", "limits.max=1MB")
    either(*words).failed("is on no block device of this host")
    assert "d" not in daemon.request("GET", f"/1.0/instances/{running}").metadata["devices"]


def test_resource_limits_and_sysctls_of_the_next_start(client: Client, running: str) -> None:
    client.set_config(running, "limits.kernel.nofile", "100:200")
    client.set_config(running, "limits.kernel.core", "unlimited")
    client.set_config(running, "linux.sysctl.net.ipv4.ip_forward", "1")
    with pytest.raises(ClientFailure):
        client.set_config(running, "limits.kernel.nofile", "300:200")
    client.change_state(running, "restart", force=True)
    for process in ("1", "self"):  # a command has them, too
        shown = client.run(running, "cat", f"/proc/{process}/limits").stdout
        row = next(line.split()[3:5] for line in shown.splitlines() if line.startswith("Max open files"))
        assert row == ["100", "200"], process
    assert client.run(running, "cat", "/proc/sys/net/ipv4/ip_forward").stdout == "1\n"


def test_a_module_that_the_host_lacks_is_refused_live(either: Lxc, running: str) -> None:
    either("config", "set", running, "linux.kernel_modules=no_such_module").failed(
        "Failed to load kernel module 'no_such_module'"
    )
    assert "linux.kernel_modules" not in either.config(running)


def test_balance_is_kept_when_a_container_stops_by_itself(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    if len(CPUS) < 2:
        pytest.skip("needs two CPUs")
    wanted = len(CPUS) - 1
    for one in ("a", "b"):
        lxc("launch", image, f"{name}-{one}", "-c", f"limits.cpu={wanted}").ok()
    before = limit(daemon, f"{name}-b", "cpuset.cpus")
    lxc("exec", f"{name}-a", "--", "poweroff", "-f")
    eventually(lambda: lxc.statuses()[f"{name}-a"] == "Stopped", what="the first to stop")
    alone = cpuset.listed(sorted(CPUS)[:wanted])
    eventually(
        lambda: cpuset.parse(limit(daemon, f"{name}-b", "cpuset.cpus")) == cpuset.parse(alone),
        what=f"{before} to be left",
    )
