"""The program's outer shell: exit status and where words go."""

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
