"""Rows G1-G5: files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.harness.client_lxc import Lxc
from tests.harness.processes import REPOSITORY
from tests.harness.terminal import Terminal
from tests.seeds.conftest import Shell


def test_g1_pull_keeps_the_mode(shell: Shell, running: str, folder: Path) -> None:
    shell(f"lxc exec {running} -- sh -c 'echo x >/root/f; chmod 750 /root/f'").ok()
    shell(f"lxc file pull {running}/root/f copy").ok()
    assert (folder / "copy").read_text() == "x\n"
    assert (folder / "copy").stat().st_mode & 0o777 == 0o750


def test_g2_pull_to_standard_output(shell: Shell, running: str) -> None:
    assert shell(f"lxc file pull {running}/etc/hostname -").ok().stdout == "busybox\n"


def test_g3_push(shell: Shell, running: str) -> None:
    shell(f"echo pushed >f && lxc file push f {running}/root/f").ok()
    assert shell(f"lxc exec {running} cat /root/f").ok().stdout == "pushed\n"


def test_g4_a_target_that_is_a_folder_takes_the_file(shell: Shell, running: str) -> None:
    shell(f"echo inside >myfile && lxc file push myfile {running}/root").ok()
    shell(f"lxc file push myfile {running}/tmp/").ok()
    assert shell(f"lxc exec {running} cat /root/myfile /tmp/myfile").ok().stdout == "inside\ninside\n"


def test_g5_edit_keeps_owner_and_mode(shell: Shell, lxc: Lxc, running: str, editor: Callable[[str], str]) -> None:
    shell(f"lxc exec {running} -- sh -c 'echo old >/tmp/f; chown 1000:1000 /tmp/f; chmod 640 /tmp/f'").ok()
    program = editor("s/old/new/")
    terminal = Terminal(
        [str(REPOSITORY / "bin/lxc"), "file", "edit", f"{running}/tmp/f"], {**lxc.env, "EDITOR": program}
    )
    assert terminal.end() == 0
    shown = shell(f"lxc exec {running} -- sh -c 'cat /tmp/f; stat -c %u:%g:%a /tmp/f'").ok().stdout
    assert shown == "new\n1000:1000:640\n"
