"""Backups in both directions between our server and the real LXD, files and configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.peers import LXD, Peer
from tests.peers.conftest import Site

CHANGE = "cd /root; echo one >mark; chown 7:8 mark; chmod 4711 mark; ln mark link; mkfifo pipe; ln -s /etc/x sym"
LOOK = "cd /root; cat link; stat -c %u:%g:%a:%h mark; test -p pipe && readlink sym"


def prepared(client: Lxc, site: str) -> None:
    """A running instance with a snapshot."""
    client("launch", f"{site}:box", f"{site}:c1", "-c", "user.note=kept").ok()
    client("exec", f"{site}:c1", "--", "sh", "-c", CHANGE).ok()
    client("snapshot", f"{site}:c1", "s1").ok()
    client("exec", f"{site}:c1", "--", "sh", "-c", "echo two >/root/mark; chmod 4711 /root/mark; rm /etc/group").ok()


def check(client: Lxc, site: str, name: str) -> None:
    """It is what it was, and so is its snapshot."""
    client("start", f"{site}:{name}").ok()
    assert client("config", "get", f"{site}:{name}", "user.note").ok().stdout == "kept\n"
    said = client("exec", f"{site}:{name}", "--", "sh", "-c", f"{LOOK}; test -e /etc/group || echo gone").ok().stdout
    assert said == "two\n7:8:4711:2\n/etc/x\ngone\n"
    client("restore", f"{site}:{name}", "s1").ok()
    assert client("exec", f"{site}:{name}", "--", "sh", "-c", LOOK).ok().stdout == "one\n7:8:4711:2\n/etc/x\n"
    client("stop", f"{site}:{name}", "--force").ok()


@pytest.mark.parametrize("algorithm", ["", "zstd"])
def test_ours_come_back_there(
    lxc: Lxc, native: Lxc, peer: Peer, ours: Site, theirs: Site, unified: Path, tmp_path: Path, algorithm: str
) -> None:
    ours.add(unified, alias="box")
    prepared(lxc, "ours")
    words = ["--compression", algorithm] if algorithm else []
    lxc("export", "ours:c1", tmp_path / "backup", *words).ok()
    native("import", "theirs:", tmp_path / "backup").ok()
    check(lxc, "theirs", "c1")
    lxc("delete", "theirs:c1").ok()
    lxc("import", "theirs:", tmp_path / "backup", "c2").ok()
    check(lxc, "theirs", "c2")


def test_theirs_come_back_here(
    lxc: Lxc, native: Lxc, peer: Peer, ours: Site, theirs: Site, unified: Path, tmp_path: Path
) -> None:
    theirs.add(unified, alias="box")
    prepared(lxc, "theirs")
    native("export", "theirs:c1", tmp_path / "running").ok()
    native("stop", "theirs:c1", "--force").ok()
    lxc("export", "theirs:c1", tmp_path / "stopped").ok()
    for number, name in enumerate(("running", "stopped")):
        lxc("import", "ours:", tmp_path / name, f"c{number}").ok()
        check(lxc, "ours", f"c{number}")
    if peer.kind is LXD:
        native("import", "ours:", tmp_path / "running", "c9").ok()
        check(lxc, "ours", "c9")


def test_snapshots_that_nothing_was_written_between_come_back_there(
    lxc: Lxc, peer: Peer, ours: Site, theirs: Site, unified: Path, tmp_path: Path
) -> None:
    """What was imported lies on one tree, which its snapshots then share; there each is unpacked by itself."""
    ours.add(unified, alias="box")
    prepared(lxc, "ours")
    lxc("export", "ours:c1", tmp_path / "first").ok()
    lxc("delete", "ours:c1", "--force").ok()
    lxc("import", "ours:", tmp_path / "first").ok()
    for name in ("s2", "s3"):
        lxc("snapshot", "ours:c1", name).ok()
    lxc("export", "ours:c1", tmp_path / "second").ok()
    lxc("import", "theirs:", tmp_path / "second").ok()
    check(lxc, "theirs", "c1")
    for name in ("s2", "s3"):
        lxc("restore", "theirs:c1", name).ok()
        lxc("start", "theirs:c1").ok()
        said = lxc("exec", "theirs:c1", "--", "sh", "-c", LOOK).ok().stdout
        assert said == "two\n7:8:4711:2\n/etc/x\n"
        lxc("stop", "theirs:c1", "--force").ok()
