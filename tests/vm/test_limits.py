"""Limits on a host with cgroup v2 alone: those that have other files or other rules there than on v1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.vm.test_host import group_of, pid_of

MIB = 1 << 20


@pytest.fixture(scope="module")
def limited(module_lxc: Lxc) -> Iterator[str]:
    """A running container."""
    module_lxc("launch", "build:busybox", "limited").ok()
    yield "limited"
    module_lxc("delete", "--force", "limited").ok()


@pytest.mark.parametrize(
    ("config", "files"),
    [
        ({"limits.memory": "64MiB"}, {"memory.max": str(64 * MIB), "memory.swap.max": str(64 * MIB)}),
        ({"limits.memory": "64MiB", "limits.memory.swap": "false"}, {"memory.swap.max": "0"}),
        (
            {"limits.memory": "64MiB", "limits.memory.enforce": "soft"},
            {"memory.high": str(64 * MIB), "memory.max": "max"},
        ),
        ({"limits.cpu": "1"}, {"cpuset.cpus": "0"}),
        ({"limits.cpu.allowance": "50%", "limits.cpu.priority": "4"}, {"cpu.weight": "44"}),
        ({"limits.processes": "50"}, {"pids.max": "50"}),
        ({"limits.hugepages.2MB": "4MiB"}, {"hugetlb.2MB.max": str(4 * MIB)}),
    ],
    ids=lambda value: " ".join(value),
)  # fmt: skip
def test_live_and_at_start(
    daemon: Daemon, module_lxc: Lxc, limited: str, config: dict[str, str], files: dict[str, str]
) -> None:
    def seen() -> dict[str, str]:
        group = group_of(pid_of(daemon, limited))
        return {file: (group / file).read_text().strip() for file in files}

    before = seen()
    module_lxc("config", "set", limited, *(f"{key}={value}" for key, value in config.items())).ok()
    assert seen() == files
    module_lxc("restart", "--force", limited).ok()
    assert seen() == files
    for key in config:
        module_lxc("config", "unset", limited, key).ok()
    lifted = {**before, **({"cpuset.cpus": _all_cpus()} if "cpuset.cpus" in files else {})}
    assert seen() == lifted


def _all_cpus() -> str:
    count = len(os.sched_getaffinity(0))
    return f"0-{count - 1}" if count > 1 else "0"


def test_cpus_that_go_and_come_are_shared_out_again(daemon: Daemon, module_lxc: Lxc, limited: str) -> None:
    switch = Path("/sys/devices/system/cpu/cpu1/online")
    if not switch.exists():
        pytest.skip("needs two CPUs")
    module_lxc("launch", "build:busybox", "second", "-c", "limits.cpu=1").ok()
    module_lxc("config", "set", limited, "limits.cpu=1").ok()
    files = [group_of(pid_of(daemon, name)) / "cpuset.cpus" for name in (limited, "second")]

    def shares() -> list[str]:
        return sorted(file.read_text().strip() for file in files)

    try:
        assert shares() == ["0", "1"]
        switch.write_text("0")
        eventually(lambda: shares() == ["0", "0"])
        assert module_lxc("exec", "second", "--", "nproc").ok().stdout == "1\n"
        switch.write_text("1")
        eventually(lambda: shares() == ["0", "1"])
    finally:
        switch.write_text("1")
        module_lxc("delete", "--force", "second").ok()
        module_lxc("config", "unset", limited, "limits.cpu").ok()


def test_disks(daemon: Daemon, module_lxc: Lxc, limited: str) -> None:
    module_lxc("config", "device", "override", limited, "root", "limits.read=5MB", "limits.write=100iops").ok()
    words = (group_of(pid_of(daemon, limited)) / "io.max").read_text().split()
    assert words[1:] == ["rbps=5000000", "wbps=max", "riops=max", "wiops=100"]
    assert Path("/sys/dev/block", words[0]).exists()
    module_lxc("config", "device", "remove", limited, "root").ok()
    assert (group_of(pid_of(daemon, limited)) / "io.max").read_text() == ""
