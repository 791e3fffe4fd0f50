"""TAB in the shells, with the scripts that `lxc completion` prints."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY
from tests.harness.terminal import Terminal

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(lxc completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(lxc completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "lxc completion fish | source"),
}
Open = Callable[[str], Terminal]


@pytest.fixture
def open_shell(lxc: Lxc, tmp_path: Path) -> Iterator[Open]:
    """Starts a shell that has read our script."""
    opened: list[Terminal] = []

    def start(name: str) -> Terminal:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed here")
        argv, setup = SHELLS[name]
        env = {**lxc.env, "PATH": f"{REPOSITORY / 'bin'}:/usr/bin:/bin", "PS1": "$ ", "HISTFILE": ""}
        env |= {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}  # fish leaves files there when it is killed
        terminal = Terminal(argv, env)
        opened.append(terminal)
        terminal.resize(200, 50)
        terminal.type(f"{setup}; echo rea''dy\n")
        terminal.expect("ready")
        terminal.seen = ""
        return terminal

    yield start
    for terminal in opened:
        terminal.process.kill()
        terminal.end()


@pytest.mark.parametrize("program", SHELLS)
def test_names_keys_and_values_are_completed(open_shell: Open, lxc: Lxc, running: str, program: str) -> None:
    shell = open_shell(program)
    # What the line became is seen by what it does.
    shell.type(f"lxc conf\tse\tlocal:{running[:6]}\tsecurity.nest\tt\t\n")
    shell.type("echo do''ne\n")
    shell.expect("done")
    assert lxc("config", "get", running, "security.nesting").ok().stdout == "true\n", shell.seen


@pytest.mark.parametrize("program", SHELLS)
def test_files_are_completed_where_files_fit(
    open_shell: Open, daemon: Daemon, running: str, tmp_path: Path, program: str
) -> None:
    (tmp_path / "some-long-name").write_text("text")
    shell = open_shell(program)
    shell.type(f"lxc file push {tmp_path}/some\t{running[:6]}\tetc/new\n")
    shell.type("echo do''ne\n")
    shell.expect("done")
    assert daemon.request("GET", f"/1.0/instances/{running}/files?path=/etc/new").body == b"text", shell.seen


def test_without_a_daemon_nothing_is_said(tmp_path: Path) -> None:
    done = processes.run([REPOSITORY / "bin/lxc", "__complete", "stop", ""], env={"LXD_DIR": str(tmp_path)})
    assert (done.status, done.stdout, done.stderr) == (0, ":4\n", "")


def test_the_scripts_have_no_mistake_a_shell_can_see(lxc: Lxc, tmp_path: Path) -> None:
    for name in SHELLS:
        if shutil.which(name) is not None:
            script = tmp_path / name
            script.write_text(lxc("completion", name).ok().stdout)
            processes.run([name, "-n", script]).ok()
