"""Rows D12-D15, D19: snapshots."""

from __future__ import annotations

from tests.seeds.conftest import Shell


def test_d12_snapshots_are_silent_and_listed(shell: Shell, running: str) -> None:
    for line in (f"lxc snapshot {running}", f"lxc snapshot {running} 2016-07-01", f"lxc snapshot {running}"):
        assert shell(line).ok().stdout == ""
    report = shell(f"lxc info {running}").ok().stdout
    listed = [line.split()[1] for line in report.partition("Snapshots:")[2].splitlines() if line.startswith("| ")]
    assert listed == ["NAME", "snap0", "2016-07-01", "snap1"]


def test_d13_restore_brings_files_and_configuration_back(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} user.note=before && lxc exec {running} -- touch /root/kept").ok()
    shell(f"lxc snapshot {running} 2016-07-01").ok()
    shell(f"lxc config set {running} user.note=after && lxc exec {running} -- rm /root/kept").ok()
    assert shell(f"lxc restore {running} 2016-07-01").ok().stdout == ""
    assert shell(f"lxc config get {running} user.note").ok().stdout == "before\n"
    shell(f"lxc exec {running} -- test -f /root/kept").ok()  # it runs again


def test_d14_a_snapshot_is_deleted(shell: Shell, running: str) -> None:
    shell(f"lxc snapshot {running} gone && lxc delete {running}/gone").ok()
    assert "gone" not in shell(f"lxc info {running}").ok().stdout


def test_d19_snapshots_do_not_change(shell: Shell, running: str) -> None:
    shell(f"lxc snapshot {running} first").ok()
    for line in (f"lxc start {running}/first", f"lxc config set {running}/first user.note=x"):
        assert shell(line).status != 0
    shell(f"lxc move {running}/first {running}/second && lxc restore {running} second").ok()
    shell(f"lxc config set {running}/second expires_at=2040-01-01T00:00:00Z && lxc delete {running}/second").ok()


def test_d15_a_snapshot_becomes_a_container(shell: Shell, running: str) -> None:
    shell(f"lxc exec {running} -- touch /root/kept && lxc snapshot {running} 2016-07-01").ok()
    shell(f"lxc exec {running} -- rm /root/kept").ok()
    assert shell(f"lxc copy {running}/2016-07-01 {running}-test").ok().stdout == ""
    assert f"{running}-test,STOPPED" in shell("lxc list -f csv -c ns").ok().stdout
    shell(f"lxc start {running}-test && lxc exec {running}-test -- test -f /root/kept").ok()
    shell(f"lxc delete --force {running}-test").ok()
