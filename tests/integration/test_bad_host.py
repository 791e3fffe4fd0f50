"""Hosts that lack something: the message says what and how to mend it, and nothing is left of the attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import OURS, watched
from tests.harness import images, leaks
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY

Make = Callable[[str], Daemon]


@pytest.fixture
def altered(tmp_path: Path) -> Iterator[Make]:
    """Makes a running daemon that sees a host changed by shell commands, in a mount namespace of its own."""
    running: list[Iterator[Daemon]] = []

    def make(change: str) -> Daemon:
        program = tmp_path / "lxd"
        changed = f'[ "$1" != --group ] || {{ {change}; }}; exec "$0" "$@"'
        program.write_text(f"#!/bin/sh\nexec unshare --mount sh -ec '{changed}' {REPOSITORY}/bin/lxd \"$@\"\n")
        program.chmod(0o755)
        life = watched(lambda daemon: daemon.start().initialise(), Daemon(program=program))
        running.append(life)
        return next(life)

    yield make
    for life in running:
        assert next(life, None) is None


def client(daemon: Daemon, folder: Path) -> Lxc:
    folder.mkdir()
    (folder / "config.yml").write_text("default-remote: local\n")
    data = images.unified(folder / "image.tar.gz").read_bytes()
    added = daemon.operation("POST", "/1.0/images", data)
    assert added["status"] == "Success", added
    daemon.request("POST", "/1.0/images/aliases", {"name": "small", "target": added["metadata"]["fingerprint"]})
    return Lxc(OURS, daemon.env, folder)


def test_no_range_of_ids_for_root(altered: Make, tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("somebody:100000:65536\n")
    daemon = altered(f"mount --bind {file} /etc/subuid")
    lxc = client(daemon, tmp_path / "home")
    lxc("launch", "small", "noids").failed("/etc/subuid gives root no range")
    assert not [left for left in leaks.of_instance(daemon, "noids") if "/containers/noids" not in left]
    lxc("delete", "--force", "noids")
    assert leaks.of_instance(daemon, "noids") == []
