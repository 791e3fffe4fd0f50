"""Rows D1-D11, D16: daily commands."""

from __future__ import annotations

from tests.harness.client_lxc import Lxc
from tests.harness.processes import REPOSITORY
from tests.harness.terminal import Terminal
from tests.seeds.conftest import Shell

LXC = str(REPOSITORY / "bin/lxc")


def test_d1_list(shell: Shell, running: str) -> None:
    lines = shell("lxc list").ok().stdout.splitlines()
    head = [word.strip() for word in lines[1].strip("| ").split("|")]
    assert head == ["NAME", "STATE", "IPV4", "IPV6", "TYPE", "SNAPSHOTS"]
    row = next(line for line in lines if f"| {running} " in line)
    assert "RUNNING" in row
    assert "CONTAINER" in row


def test_d2_stop_and_start_are_silent(shell: Shell, running: str) -> None:
    assert shell(f"lxc stop {running}").ok().stdout == ""
    assert shell(f"lxc start {running}").ok().stdout == ""


def test_d3_exec_gives_a_shell_and_its_status(shell: Shell, lxc: Lxc, running: str) -> None:
    terminal = Terminal([LXC, "exec", running, "sh"], lxc.env)
    terminal.expect("# ")
    terminal.type("tty; exit 3\n")
    terminal.expect("/dev/pts/")
    assert terminal.end() == 3


def test_d4_exec_takes_two_dashes(shell: Shell, running: str) -> None:
    assert shell(f"lxc exec {running} -- /bin/echo hello").ok().stdout == "hello\n"


def test_d5_a_password_is_set_without_echo(lxc: Lxc, running: str) -> None:
    lxc("exec", running, "--", "sh", "-c", "echo 'user:x:1:0:99999:7:::' >/etc/shadow").ok()
    terminal = Terminal([LXC, "exec", running, "--", "passwd", "user"], lxc.env)
    for _ in range(2):
        terminal.expect("assword: ")
        terminal.seen = ""
        terminal.type("S3cret-word\n")
    status = terminal.end()
    assert "S3cret" not in terminal.seen
    assert status == 0
    assert "user:$" in lxc.run(running, "cat", "/etc/shadow").stdout


def test_d6_console_detaches_with_control_a_q(lxc: Lxc, running: str) -> None:
    terminal = Terminal([LXC, "console", running], lxc.env)
    terminal.expect("To detach from the console, press: <ctrl>+a q")
    terminal.type("\x01q")
    assert terminal.end() == 0


def test_d7_a_login_shell_as_another_user(shell: Shell, running: str) -> None:
    assert shell(f"lxc exec {running} -- su -l user -c 'id -un; pwd'").ok().stdout.split() == ["user", "/tmp"]


def test_d8_delete_wants_a_stopped_instance(shell: Shell, running: str) -> None:
    shell(f"lxc delete {running}").failed("Error: The instance is currently running, stop it first or pass --force")
    shell(f"lxc stop --force {running}").ok()
    assert shell(f"lxc delete {running}").ok().stdout == ""


def test_d9_info(shell: Shell, running: str) -> None:
    text = shell(f"lxc info {running}").ok().stdout
    for line in (f"Name: {running}", "Status: RUNNING", "Type: container", "Architecture: ", "PID: ", "Created: "):
        assert f"\n{line}" in f"\n{text}", line
    for word in ("Resources:", "Processes:", "Memory usage:", "Network usage:", "eth0:"):
        assert word in text, word


def test_d10_info_with_the_log(shell: Shell, running: str) -> None:
    assert "\nLog:\n" in shell(f"lxc info {running} --show-log").ok().stdout


def test_d11_move_renames(shell: Shell, lxc: Lxc, running: str) -> None:
    shell(f"lxc move {running} {running}-beta").failed("Renaming of running container not allowed")
    shell(f"lxc stop --force {running}").ok()
    shell(f"lxc move {running} {running}-beta").ok()
    assert f"{running}-beta" in lxc.statuses()
    shell(f"lxc move {running}-beta {running}").ok()


def test_d16_the_container_sees_its_own_limits(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} limits.memory 512MB").ok()
    shell(f"lxc config set {running} limits.cpu 1").ok()
    # What `free` reads; busybox' own `free` asks the kernel by sysinfo(2) instead.
    total = shell(f"lxc exec {running} -- grep MemTotal /proc/meminfo").ok().stdout.split()[1]
    assert int(total) // 1024 == 488
    assert shell(f"lxc exec {running} nproc").ok().stdout == "1\n"
