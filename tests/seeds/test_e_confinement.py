"""Rows E13, E14, E15 and the files of E17: AppArmor, seccomp, raw.lxc."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.daemon import Daemon
from tests.seeds.conftest import Shell

HAS_APPARMOR = Path("/sys/module/apparmor/parameters/enabled").exists()


def test_e13_rules_of_ones_own(daemon: Daemon, shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} raw.apparmor 'deny /root/secret rwklx,'").ok()
    refused = shell(f"lxc config set {running} raw.apparmor 'deny /root/secret'")
    assert refused.status != 0 and "raw.apparmor" in refused.stderr
    shell(f"lxc restart --force {running}").ok()
    if HAS_APPARMOR:
        profile = (daemon.state / "security/apparmor/profiles" / f"lxd-{running}").read_text()
        assert "deny /root/secret rwklx," in profile


@pytest.mark.parametrize("line", ["echo h >/proc/sysrq-trigger", "echo 1 >/proc/sys/kernel/panic"])
def test_e13_what_is_the_hosts_is_out_of_reach(shell: Shell, running: str, line: str) -> None:
    assert shell(f"lxc exec {running} -- sh -c '{line}'").status != 0


def test_e14_the_default_policy_is_in_the_file_of_the_container(daemon: Daemon, running: str) -> None:
    policy = (daemon.state / "security/seccomp" / running).read_text().splitlines()
    assert policy[:2] == ["2", "denylist"]
    assert "reject_force_umount" in policy
    for call in ("kexec_load", "open_by_handle_at", "init_module", "finit_module", "delete_module"):
        assert f"{call} errno 38" in policy
    pid = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    assert "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()


def test_e14_a_forced_unmount_is_denied(shell: Shell, running: str) -> None:
    shell(f"lxc exec {running} -- sh -c 'mkdir /tmp/m && mount -t tmpfs m /tmp/m'").ok()
    assert shell(f"lxc exec {running} -- umount -f /tmp/m").status != 0
    shell(f"lxc exec {running} -- umount /tmp/m").ok()


def test_e14_it_can_be_replaced(daemon: Daemon, shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} raw.seccomp '2\ndenylist\n[all]\nmkdir errno 1\nmkdirat errno 1'").ok()
    shell(f"lxc restart --force {running}").ok()
    assert (daemon.state / "security/seccomp" / running).read_text().startswith("2\ndenylist\n[all]\nmkdir errno 1")
    refused = shell(f"lxc exec {running} -- mkdir /tmp/x")
    assert refused.status != 0 and "not permitted" in refused.stderr


def test_e14_or_through_raw_lxc(shell: Shell, running: str, folder: Path) -> None:
    (folder / "policy").write_text("2\ndenylist\n[all]\nmkdir errno 1\nmkdirat errno 1\n")
    shell(f"lxc config set {running} raw.lxc 'lxc.seccomp.profile = {folder}/policy'").ok()
    shell(f"lxc restart --force {running}").ok()
    assert shell(f"lxc exec {running} -- mkdir /tmp/x").status != 0


def test_e15_lines_of_liblxc_are_appended(daemon: Daemon, shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} raw.lxc 'lxc.environment = WORD=raw'").ok()
    shell(f"lxc restart --force {running}").ok()
    pid = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    assert b"WORD=raw" in Path(f"/proc/{pid}/environ").read_bytes()
    assert (daemon.state / "logs" / running / "lxc.conf").read_text().endswith("lxc.environment = WORD=raw\n")


def test_e15_invalid_ones_are_refused(shell: Shell, running: str) -> None:
    for line in ("lxc.aa_profile=unconfined", "lxc.nonsense = 1", "nothing"):
        refused = shell(f"lxc config set {running} raw.lxc '{line}'")
        assert refused.status != 0 and "raw.lxc" in refused.stderr, line
    assert shell(f"lxc config get {running} raw.lxc").ok().stdout == "\n"
