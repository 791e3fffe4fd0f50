"""Trees of files in both directions: every client with every server, over the network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.peers.conftest import Homes, Site


@pytest.fixture(params=["ours", "theirs"])
def guest(request: pytest.FixtureRequest, tmp_path: Path, homes: Homes) -> Iterator[str]:
    """A stopped container on either server, as a remote's name and its own."""
    site: Site = request.getfixturevalue(request.param)
    fingerprint = site.add(images.unified(tmp_path / "box.tar.gz"))
    body = {
        "name": "files",
        "source": {"type": "image", "fingerprint": fingerprint},
        "devices": {"eth0": {"type": "none"}},
    }
    assert site.daemon.operation("POST", "/1.0/instances", body)["err"] == ""
    _ = homes
    yield f"{request.param}:files"


def tree(folder: Path) -> Path:
    """Some files, links and folders."""
    for number in range(60):
        place = folder / f"d{number % 4}" / f"e{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}").write_bytes(os.urandom(number * 101))
        (place / f"f{number}").chmod(0o640 if number % 2 else 0o755)
    (folder / "large").write_bytes(os.urandom(3_000_001))
    (folder / "link").symlink_to("d1/e0")
    (folder / "empty").mkdir()
    return folder


def test_trees_go_there_and_back(client: Lxc, homes: Homes, guest: str, tmp_path: Path) -> None:
    if guest.startswith("theirs") and client is not homes.client("lxc"):
        pytest.skip("neither is ours")
    here = tree(tmp_path / "tree")
    client("file", "push", "-r", "-p", here, f"{guest}/srv/www").ok()
    (here / "d1/e0/f9").write_bytes(b"changed")
    client("file", "push", "-r", here, f"{guest}/srv/www").ok()
    client("file", "pull", "-r", f"{guest}/srv/www/tree", tmp_path / "back").ok()
    subprocess.run(["diff", "-r", "--no-dereference", here, tmp_path / "back/tree"], check=True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "back/tree").rglob("f*")}
    assert set(modes.values()) == {0o640, 0o755}
    client("file", "pull", f"{guest}/srv/www/tree/large", tmp_path / "one").ok()
    assert (tmp_path / "one").read_bytes() == (here / "large").read_bytes()
    client("file", "pull", f"{guest}/srv/none", tmp_path / "none").failed()
