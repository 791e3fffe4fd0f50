"""Rows E1 (the text is kept), E3, E9, E11: what is configured, in the editor and by set."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightervisor.kernel import cgroup
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY
from tests.harness.terminal import Terminal
from tests.seeds.conftest import Shell

KVM = Path("/dev/kvm")


@pytest.mark.parametrize("profile", [False, True], ids=["instance", "profile"])
def test_e1_the_text_is_kept_until_it_is_right(lxc: Lxc, running: str, tmp_path: Path, profile: bool) -> None:
    if profile:
        lxc("profile", "create", running).ok()
    program = tmp_path / "editor"
    # First a key that does not exist; then, in the text that was kept, the right one.
    program.write_text(
        "#!/bin/sh\n"
        f"grep -q '^###   limits: limits.cpu ' \"$1\" && : >{tmp_path}/shows-keys\n"
        'if grep -q limits.memori "$1"; then sed -i s/limits.memori/limits.memory/ "$1"\n'
        "else sed -i 's/^config:.*/config:\\n  limits.memori: 64MiB/' \"$1\"; fi\n"
    )
    program.chmod(0o755)
    words = ["profile", "edit", running] if profile else ["config", "edit", running]
    terminal = Terminal([str(REPOSITORY / "bin/lxc"), *words], {**lxc.env, "EDITOR": str(program)})
    terminal.expect("Unknown configuration key: limits.memori")
    terminal.expect("Press enter to open the editor again")
    terminal.type("\r")
    assert terminal.end() == 0
    assert (tmp_path / "shows-keys").exists()
    shown = lxc(words[0], "get", running, "limits.memory").ok().stdout
    if profile:
        lxc("profile", "delete", running).ok()
    assert shown == "64MiB\n"


def test_e3_a_device_of_the_host(shell: Shell, running: str) -> None:
    done = shell(f"lxc config device add {running} kvm unix-char path=/dev/kvm")
    if not KVM.exists():
        done.failed('Failed to start device "kvm": The required device path doesn\'t exist')
        return
    assert done.ok().stdout == f"Device kvm added to {running}\n"
    number = KVM.stat().st_rdev
    inside = shell(f"lxc exec {running} -- stat -c '%F %t:%T' /dev/kvm").ok().stdout
    assert inside == f"character special file {number >> 8:x}:{number & 255:x}\n"


def test_e9_containers_inside_after_a_restart(shell: Shell, running: str) -> None:
    shell(f"lxc config set {running} security.nesting true").ok()
    shell(f"lxc restart --force {running}").ok()
    inner = "unshare -U -r -m -p -f sh -c 'mount -t proc proc /proc && echo $$'"
    assert shell(f'lxc exec {running} -- sh -c "{inner.replace("$", chr(92) + "$")}"').ok().stdout == "1\n"


@pytest.mark.parametrize(
    ("key", "value", "file", "seen"),
    [
        ("limits.cpu", "1", "cpuset.cpus", None),
        ("limits.cpu.allowance", "50%", "cpu.shares", "512"),
        ("limits.cpu.priority", "5", "cpu.shares", "1019"),
        ("limits.disk.priority", "9", "blkio.bfq.weight", "900"),
        ("limits.memory", "128MB", "memory.limit_in_bytes", "128000000"),
        ("limits.memory.swap", "false", "memory.swappiness", "0"),
        ("limits.network.priority", "3", "", ""),
        ("limits.processes", "40", "pids.max", "40"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("limits") else "",
)
def test_e11_every_category_of_limits(
    shell: Shell, daemon: Daemon, running: str, key: str, value: str, file: str, seen: str | None
) -> None:
    shell(f"lxc config set {running} {key} {value}").ok()
    assert shell(f"lxc config get {running} {key}").ok().stdout == f"{value}\n"
    if file and cgroup.offered().has(file, version=1):
        pid = daemon.request("GET", f"/1.0/instances/{running}/state").metadata["pid"]
        told = (cgroup.payload(pid, running)[file.partition(".")[0]] / file).read_text().strip()
        assert told == seen if seen is not None else told.isdecimal()
