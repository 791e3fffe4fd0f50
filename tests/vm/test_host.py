"""A host with cgroup v2 alone, systemd and AppArmor: what a container gets there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

CGROUP = Path("/sys/fs/cgroup")
PROFILES = Path("/sys/kernel/security/apparmor/profiles")


@pytest.fixture(scope="module")
def running(module_lxc: Lxc) -> Iterator[str]:
    """A running container."""
    module_lxc("launch", "build:busybox", "v2", "--config", "limits.memory=64MiB").ok()
    yield "v2"
    module_lxc("delete", "--force", "v2").ok()


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


def group_of(pid: int) -> Path:
    return CGROUP / Path(f"/proc/{pid}/cgroup").read_text().partition("::")[2].strip().lstrip("/")


def test_this_host_is_what_it_should_be() -> None:
    assert (CGROUP / "cgroup.controllers").exists()
    assert PROFILES.exists()
    assert Path("/run/systemd/system").exists()


def test_limits_are_in_force_and_follow(daemon: Daemon, module_lxc: Lxc, running: str) -> None:
    group = group_of(pid_of(daemon, running))
    assert (group / "memory.max").read_text() == f"{64 << 20}\n"
    module_lxc("config", "set", running, "limits.memory", "32MiB").ok()
    module_lxc("config", "set", running, "limits.processes", "50").ok()
    module_lxc("config", "set", running, "limits.cpu.allowance", "25ms/100ms").ok()
    assert (group / "memory.max").read_text() == f"{32 << 20}\n"
    assert (group / "pids.max").read_text() == "50\n"
    assert (group / "cpu.max").read_text() == "25000 100000\n"
    module_lxc("config", "unset", running, "limits.memory").ok()
    assert (group / "memory.max").read_text() == "max\n"
    for key in ("limits.processes", "limits.cpu.allowance"):
        module_lxc("config", "unset", running, key).ok()
    assert (group / "pids.max").read_text() == "max\n"
    assert (group / "cpu.max").read_text() == "max 100000\n"


def test_what_it_uses_is_told(daemon: Daemon, running: str) -> None:
    state = daemon.request("GET", f"/1.0/instances/{running}/state").metadata
    assert state["memory"]["usage"] > 0
    assert state["cpu"]["usage"] > 0
    assert state["processes"] >= 2


def test_it_freezes_and_thaws(daemon: Daemon, module_lxc: Lxc, running: str) -> None:
    group = group_of(pid_of(daemon, running))
    module_lxc("pause", running).ok()
    assert "frozen 1" in (group / "cgroup.events").read_text()
    module_lxc("start", running).ok()
    assert "frozen 0" in (group / "cgroup.events").read_text()


def test_a_profile_of_its_own_confines_it(daemon: Daemon, module_lxc: Lxc, running: str) -> None:
    confined = Path(f"/proc/{pid_of(daemon, running)}/attr/current").read_text()
    assert running in confined
    assert confined.strip().endswith("(enforce)")
    # A reader inside sees the policy namespace of the container alone; what counts is what the host's kernel enforces.
    module_lxc("exec", running, "--", "sh", "-c", "sleep 4711 &").ok()
    started = [
        found.parent for found in Path("/proc").glob("[0-9]*/cmdline") if found.read_bytes() == b"sleep\0004711\0"
    ]
    assert [(found / "attr/current").read_text() for found in started] == [confined]
    denied = module_lxc("exec", running, "--", "sh", "-c", "echo x >/proc/sysrq-trigger")
    assert denied.status != 0


def test_its_profile_is_where_others_look(daemon: Daemon, running: str) -> None:
    for name in (running, f"lxd-{running}"):
        profile = (daemon.state / "security/apparmor/profiles" / name).read_text()
        assert "profile" in profile


def test_its_profile_goes_with_it(daemon: Daemon, module_lxc: Lxc) -> None:
    module_lxc("launch", "build:busybox", "gone").ok()
    assert "gone" in PROFILES.read_text()
    group = group_of(pid_of(daemon, "gone"))
    module_lxc("delete", "--force", "gone").ok()
    assert "gone" not in PROFILES.read_text()
    assert not group.exists()
    assert not (daemon.state / "security/apparmor/profiles/gone").is_symlink()


def test_it_sees_its_own_memory(module_lxc: Lxc, running: str) -> None:
    module_lxc("config", "set", running, "limits.memory", "48MiB").ok()

    def total() -> int:
        lines = module_lxc("exec", running, "--", "cat", "/proc/meminfo").ok().stdout.splitlines()
        return int(lines[0].split()[1])

    assert eventually(lambda: total() == 48 << 10, what="lxcfs to show the limit")
