"""`lxc file`: what is shown while files are on their way."""

from pathlib import Path

import pytest

from lightervisor.cli import progress, session, terminal, transfer
from tests.unit.cli.conftest import Client


@pytest.fixture(autouse=True)
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.Session, "shows_progress", lambda _self: True)
    monkeypatch.setattr(transfer, "_INTERVAL_S", 0)


def test_a_pull_shows_how_far_it_is_and_wipes_it(client: Client, tmp_path: Path) -> None:
    client.server.answers["GET /1.0/instances/c1/files?path=%2Fetc%2Fissue"] = b"hello"
    shown = client("file", "pull", "c1/etc/issue", str(tmp_path / "issue"))
    assert shown.startswith("\rPulling /etc/issue from c1: 5B (")
    assert shown.endswith(" \r")
    assert (tmp_path / "issue").read_bytes() == b"hello"


def test_a_line_is_no_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "size", lambda: (20, 24))
    progress.Line("Pushing a long name to a longer path", is_shown=True).show("50% (1MB/s)")
    assert capsys.readouterr().out == "\r… path: 50% (1MB/s)"
