"""Rows E1, E2, E4, E5, E6, E7, E8, E10, E12, E16, E17: configuration and limits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY
from tests.harness.terminal import Terminal
from tests.seeds.conftest import Shell


def test_e1_edit_opens_the_editor_and_opens_it_again_after_an_error(lxc: Lxc, running: str, tmp_path: Path) -> None:
    program = tmp_path / "editor"
    program.write_text(
        "#!/bin/sh\n"
        f"grep -q '^### ' \"$1\" && : >{tmp_path}/commented\n"
        f'if [ -e {tmp_path}/second ]; then sed -i \'s/^config:.*/config: {{user.edited: "yes"}}/; /^  /d\' "$1"\n'
        f"else : >{tmp_path}/second; echo '[}}' >>\"$1\"; fi\n"
    )
    program.chmod(0o755)
    before = lxc.config(running)
    terminal = Terminal([str(REPOSITORY / "bin/lxc"), "config", "edit", running], {**lxc.env, "EDITOR": str(program)})
    terminal.expect("Config parsing error")
    terminal.expect("Press enter to open the editor again or ctrl+c to abort change")
    terminal.type("\x03")
    assert terminal.end() != 0
    assert (tmp_path / "commented").exists()
    assert lxc.config(running) == before


def test_e1_edit_changes_what_was_edited(lxc: Lxc, running: str, editor: Callable[[str], str]) -> None:
    program = editor('s/^config:/config:\\n  user.edited: "yes"/')
    terminal = Terminal([str(REPOSITORY / "bin/lxc"), "config", "edit", running], {**lxc.env, "EDITOR": program})
    assert terminal.end() == 0
    assert lxc.config(running)["user.edited"] == "yes"


def test_e2_set_takes_the_old_form(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} user.key value").ok()
    assert shell(f"lxc config get {running} user.key").ok().stdout == "value\n"


def test_e4_a_home_directory_is_mounted_at_once(shell: Shell, daemon: Daemon, running: str, name: str) -> None:
    home = daemon.state / f"home-{name}"
    home.mkdir(mode=0o750)
    (home / "note").write_text("mine")
    for place in (home, home / "note"):
        os.chown(place, 23456, 23456)
    try:
        done = shell(f"lxc config device add {running} homedir disk source={home} path=/home/ubuntu").ok()
        assert done.stdout == f"Device homedir added to {running}\n"
        script = "cat /home/ubuntu/note && echo more >>/home/ubuntu/note"
        shown = shell(f"lxc exec {running} --user 23456 --group 23456 -- sh -c '{script}'").ok().stdout
        assert shown == "mine"
        assert (home / "note").read_text() == "minemore\n"
        shell(f"lxc config device remove {running} homedir").ok()
    finally:
        (home / "note").unlink()
        home.rmdir()


def test_e5_a_relative_path_is_below_the_root(shell: Shell, running: str) -> None:
    shell(f"lxc config device add {running} opt disk source=/opt path=opt").ok()
    assert " /opt " in shell(f"lxc exec {running} -- cat /proc/mounts").ok().stdout


def test_e8_none_masks_an_inherited_device(shell: Shell, daemon: Daemon, running: str) -> None:
    assert "eth0" in shell(f"lxc exec {running} -- ls /sys/class/net").ok().stdout
    done = shell(f"lxc config device add {running} eth0 none").ok()
    assert done.stdout == f"Device eth0 added to {running}\n"
    assert "eth0" not in shell(f"lxc exec {running} -- ls /sys/class/net").ok().stdout
    shell(f"lxc config device remove {running} eth0").ok()
    assert "eth0" in shell(f"lxc exec {running} -- ls /sys/class/net").ok().stdout


def test_e6_processors_live(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} limits.cpu 1").ok()
    assert shell(f"lxc exec {running} nproc").ok().stdout == "1\n"
    shell(f"lxc config unset {running} limits.cpu").ok()
    assert shell(f"lxc exec {running} nproc").ok().stdout == f"{len(os.sched_getaffinity(0))}\n"


def test_e7_memory_live(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} limits.memory 512MB").ok()
    total = shell(f"lxc exec {running} -- grep MemTotal /proc/meminfo").ok().stdout.split()[1]
    assert int(total) // 1024 == 488


def test_e10_privileged_maps_nothing_after_a_restart(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} security.privileged true").ok()
    shell(f"lxc restart --force {running}").ok()
    for kind in ("uid", "gid"):
        shown = shell(f"lxc exec {running} -- cat /proc/self/{kind}_map").ok().stdout
        assert shown.split() == ["0", "0", "4294967295"]


def test_e12_the_map_is_the_whole_range_of_root_in_subuid(shell: Shell, running: str) -> None:
    lines = (line.split(":") for line in Path("/etc/subuid").read_text().splitlines())
    start, count = next((start, count) for user, start, count in lines if user == "root" and int(count) >= 65536)
    shown = shell(f"lxc exec {running} -- cat /proc/self/uid_map").ok().stdout
    assert shown.split() == ["0", start, count]


def test_e16_namespaces_seccomp_capabilities_and_cgroups_hold_the_container(daemon: Daemon, running: str) -> None:
    pid = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
    for namespace in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        inside, outside = (Path(f"/proc/{who}/ns/{namespace}").readlink() for who in (pid, "self"))
        assert inside != outside, namespace
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status
    assert "lxc.payload" in Path(f"/proc/{pid}/cgroup").read_text()
    assert Path(f"/proc/{pid}/root").stat().st_ino != Path("/").stat().st_ino


def test_e17_the_files_of_a_running_container_are_where_others_look(daemon: Daemon, running: str) -> None:
    assert (daemon.state / "logs" / running / "lxc.conf").is_file()
    assert (daemon.state / "security/seccomp" / running).is_file()
    if Path("/sys/module/apparmor/parameters/enabled").exists():
        assert (daemon.state / "security/apparmor/profiles" / f"lxd-{running}").is_file()


def test_e7_busybox_free_tells_the_same(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} limits.memory=64MiB security.syscalls.intercept.sysinfo=true").ok()
    shell(f"lxc restart --force {running}").ok()
    words = shell(f"lxc exec {running} -- free -k").ok().stdout.splitlines()[1].split()[1:]
    total, used, free, _, cached, _ = (int(word) for word in words)
    assert total == 64 << 10
    assert total == used + free + cached
