"""AppArmor, where the kernel has it: what the profiles of the daemon's containers hold them from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

PROFILES = Path("/sys/kernel/security/apparmor/profiles")
NAMESPACES = Path("/sys/kernel/security/apparmor/policy/namespaces")
MOUNT = "mkdir -p /tmp/m && mount -t tmpfs m /tmp/m && umount /tmp/m"


@pytest.fixture(scope="module")
def confined(module_lxc: Lxc) -> Iterator[str]:
    """A running container."""
    module_lxc("launch", "build:busybox", "aa").ok()
    yield "aa"
    module_lxc("delete", "--force", "aa").ok()


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


def label_of(pid: int) -> str:
    return Path(f"/proc/{pid}/attr/current").read_text().strip()


def test_the_profile_is_ours_and_enforced(daemon: Daemon, confined: str) -> None:
    label = label_of(pid_of(daemon, confined))
    assert label.startswith(f"lxd-{confined}_<{daemon.state}>")
    assert "(enforce)" in label or "//&" in label
    assert f"lxd-{confined}_<{daemon.state}> (enforce)" in PROFILES.read_text()


def test_the_hosts_switches_are_out_of_reach(module_lxc: Lxc, confined: str) -> None:
    for line in (
        "echo h >/proc/sysrq-trigger",
        "echo 1 >/proc/sys/kernel/panic",
        "echo 1 >/proc/sys/vm/drop_caches",
        "cat /proc/kcore",
    ):
        assert module_lxc("exec", confined, "--", "sh", "-c", line).status != 0, line
    module_lxc("exec", confined, "--", "sh", "-c", "hostname other && hostname | grep other").ok()
    module_lxc("exec", confined, "--", "sh", "-c", MOUNT).ok()


def test_it_may_signal_its_own_processes(module_lxc: Lxc, confined: str) -> None:
    module_lxc("exec", confined, "--", "sh", "-c", "sleep 100 & kill $! && ! wait $!").ok()


def test_a_privileged_container_is_held_by_its_profile(daemon: Daemon, module_lxc: Lxc, confined: str) -> None:
    module_lxc("launch", "build:busybox", "priv", "-c", "security.privileged=true").ok()
    try:
        before = Path("/proc/sys/kernel/panic").read_text()
        for line in (
            "echo h >/proc/sysrq-trigger",
            "echo 17 >/proc/sys/kernel/panic",
            "mkdir /tmp/m; mount -t debugfs d /tmp/m",
            "mkdir /tmp/s; mount -t securityfs s /tmp/s",
        ):
            refused = module_lxc("exec", "priv", "--", "sh", "-c", line)
            assert refused.status != 0, line
        assert Path("/proc/sys/kernel/panic").read_text() == before
        module_lxc("exec", "priv", "--", "sh", "-c", MOUNT).ok()
        # Root inside is root outside: only the profile keeps its signals from the other container.
        other, own = pid_of(daemon, confined), pid_of(daemon, "priv")
        assert label_of(other) != label_of(own)
    finally:
        module_lxc("delete", "--force", "priv").ok()


def test_nesting_takes_effect_live_and_with_it_rules_of_ones_own(module_lxc: Lxc, confined: str) -> None:
    module_lxc("exec", confined, "--", "touch", "/root/x").ok()
    module_lxc("config", "set", confined, "raw.apparmor", "deny /root/x rwklx,").ok()
    assert module_lxc("exec", confined, "--", "cat", "/root/x").status != 0
    module_lxc("config", "unset", confined, "raw.apparmor").ok()
    module_lxc("exec", confined, "--", "cat", "/root/x").ok()
    module_lxc("config", "set", confined, "security.nesting", "true").ok()
    module_lxc("exec", confined, "--", "cat", "/root/x").ok()


def test_a_rule_that_is_none_is_refused(module_lxc: Lxc, confined: str) -> None:
    refused = module_lxc("config", "set", confined, "raw.apparmor", "deny /x")
    assert refused.status != 0 and "raw.apparmor" in refused.stderr
    assert module_lxc("config", "get", confined, "raw.apparmor").ok().stdout == "\n"


def test_a_text_is_compiled_once(daemon: Daemon, module_lxc: Lxc, confined: str) -> None:
    cached = list((daemon.state / "security/apparmor/cache").glob(f"*/lxd-{confined}"))
    assert len(cached) == 1
    before = cached[0].stat()
    module_lxc("restart", "--force", confined).ok()
    after = cached[0].stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert label_of(pid_of(daemon, confined)).startswith(f"lxd-{confined}_<")


def test_what_is_stopped_leaves_nothing_in_the_kernel(daemon: Daemon, module_lxc: Lxc) -> None:
    module_lxc("launch", "build:busybox", "gone").ok()
    namespaces = {path.name for path in NAMESPACES.iterdir()} if NAMESPACES.exists() else set()
    module_lxc("stop", "--force", "gone").ok()
    assert "lxd-gone_" not in PROFILES.read_text()
    assert not [path for path in NAMESPACES.iterdir() if path.name.startswith("lxd-gone_")] or not namespaces
    assert (daemon.state / "security/apparmor/profiles/lxd-gone").exists()
    module_lxc("delete", "gone").ok()
    assert not (daemon.state / "security/apparmor/profiles/lxd-gone").exists()
    assert not list((daemon.state / "security/apparmor/cache").glob("*/lxd-gone"))


def test_intercepted_calls_are_done_under_apparmor_and_cgroup_v2(module_lxc: Lxc) -> None:
    words = [f"-csecurity.syscalls.intercept.{word}=true" for word in ("mknod", "sysinfo", "mount")]
    module_lxc("launch", "build:busybox", "asks", *words, "-climits.memory=64MiB").ok()
    try:
        module_lxc("exec", "asks", "--", "sh", "-c", "mknod /root/null c 1 3 && echo x >/root/null").ok()
        total = module_lxc("exec", "asks", "--", "free", "-k").ok().stdout.splitlines()[1].split()[1]
        assert int(total) == 64 << 10
        module_lxc("stop", "asks", "--timeout=30").ok()
    finally:
        module_lxc("delete", "--force", "asks").ok()
