"""The program's outer shell: exit status and where words go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightervisor.cli import main


def run(tmp_path: Path, *words: str) -> int:
    environ = {"LXD_CONF": str(tmp_path), "LXD_GLOBAL_CONF": str(tmp_path), "LXD_DIR": str(tmp_path)}
    return main.run(list(words), environ)


def test_a_failure_is_an_error_line_and_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "list", "--nope") == 1
    assert capsys.readouterr() == ("", "Error: unknown flag: --nope\n")


def test_a_missing_daemon_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "list")
    capsys.readouterr()
    assert run(tmp_path, "list") == 1
    text = capsys.readouterr().err
    assert text.startswith('Error: Get "http://unix.socket/1.0": dial unix ')
    assert "connect: no such file or directory (is the daemon running?" in text


def test_the_first_run_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "list")
    run(tmp_path, "list")
    assert capsys.readouterr().err.count("If this is your first time") == 1


def test_too_few_arguments_show_the_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "rename", "c1") == 1
    out, err = capsys.readouterr()
    assert "lxc rename" in out
    assert err == "Error: Invalid number of arguments\n"
    assert run(tmp_path, "rename") == 0


def test_help_and_version_need_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [run(tmp_path, *words.split()) for words in ("--help", "help config", "list -h", "--version")] == [0] * 4
    assert capsys.readouterr().err == ""


def shell(tmp_path: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which $lxc is the program, a process of its own."""
    code = "from lightervisor.cli.main import main; main()"
    environ = {**os.environ, "LXD_CONF": str(tmp_path), "LXD_DIR": str(tmp_path), "PY": sys.executable, "CODE": code}
    environ.pop("PYTHONUNBUFFERED", None)
    words = ["sh", "-c", f'lxc() {{ "$PY" -c "$CODE" "$@"; }}; {line}']
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=30, check=False)


def test_output_that_nobody_can_take_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    done = shell(tmp_path, "lxc --version >/dev/full")
    assert (done.returncode, done.stderr) == (1, "Error: write /dev/stdout: no space left on device\n")


@pytest.mark.parametrize(("line", "status"), [("lxc --version >&-", 0), ("lxc list --nope 2>&-", 1)])
def test_streams_that_the_caller_closed_are_not_missed(tmp_path: Path, line: str, status: int) -> None:
    done = shell(tmp_path, line)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_a_state_directory_that_is_none_is_named_in_lxd_s_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = shell(tmp_path, 'lxc list >/dev/null 2>&1; LXD_DIR="$LXD_DIR/file" lxc list')
    assert done.stderr.endswith("connect: not a directory (LXD_DIR has to be a directory)\n")
