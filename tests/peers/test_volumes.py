"""Custom volumes from our daemon to the real LXD and back: with each client, each of the three ways, and as files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.peers.conftest import Homes, Site
from tests.peers.test_migration import Way, the_real_lxd, way

__all__ = ["the_real_lxd", "way"]
V = ("storage", "volume")
URL = "/1.0/storage-pools/default/volumes/custom"


@pytest.fixture(params=["lxc", "stock-lxc"])
def client(request: pytest.FixtureRequest, homes: Homes) -> Lxc:
    """Both clients that speak LXD's names."""
    return homes.client(request.param)


@pytest.fixture
def volume(client: Lxc, way: Way) -> Iterator[str]:
    """A volume on the source, with a snapshot and files of odd owners."""
    client(*V, "create", f"{way.here}:default", "v1", "user.a=b").ok()
    write(way.source, "v1", "a", "one")
    client(*V, "snapshot", f"{way.here}:default", "v1", "first").ok()
    write(way.source, "v1", "a", "second")
    write(way.source, "v1", "b", "more")
    yield f"{way.here}:default/v1"
    for site in (way.source, way.target):
        for url in site.daemon.request("GET", URL).metadata:
            if "/snapshots/" not in url:
                assert site.daemon.request("DELETE", url).status == 200


def root(site: Site, volume: str, snapshot: str = "") -> Path:
    """Where its files are: in ours there is a directory more."""
    folder = f"custom-snapshots/default_{volume}/{snapshot}" if snapshot else f"custom/default_{volume}"
    place = site.daemon.state / "storage-pools/default" / folder
    return place / "rootfs" if (place / "rootfs").is_dir() else place


def write(site: Site, volume: str, name: str, text: str) -> None:
    file = root(site, volume) / name
    file.write_text(text)
    os.chown(file, 1000, 1001)
    file.chmod(0o4751)


def held(site: Site, volume: str) -> dict[str, dict[str, str]]:
    """What the files say in a volume, by "", and in its snapshots."""
    found = site.daemon.request("GET", f"{URL}/{volume}/snapshots").metadata
    names = ["", *(url.rpartition("/")[2] for url in found)]
    return {name: {one.name: one.read_text() for one in root(site, volume, name).iterdir()} for name in names}


WHOLE = {"": {"a": "second", "b": "more"}, "first": {"a": "one"}}


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_a_volume_is_copied_with_its_snapshots(client: Lxc, way: Way, volume: str, mode: str) -> None:
    client(*V, "copy", volume, f"{way.there}:default/v2", "--mode", mode).ok()
    assert held(way.target, "v2") == held(way.source, "v1") == WHOLE
    found = (root(way.target, "v2") / "a").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1000, 1001, 0o4751)
    assert way.target.daemon.request("GET", f"{URL}/v2").metadata["config"] == {"user.a": "b"}
    kept = way.target.daemon.request("GET", f"{URL}/v2/snapshots/first").metadata
    assert kept["config"] == {"user.a": "b"}
    client(*V, "copy", volume, f"{way.there}:default/v3", "--mode", mode, "--volume-only").ok()
    assert held(way.target, "v3") == {"": WHOLE[""]}
    client(*V, "copy", volume, f"{way.there}:default/v2", "--mode", mode).failed("already exists")


def test_a_copy_is_refreshed(client: Lxc, way: Way, volume: str) -> None:
    client(*V, "copy", volume, f"{way.there}:default/v2").ok()
    write(way.source, "v1", "a", "three")
    (root(way.source, "v1") / "b").unlink()
    client(*V, "snapshot", f"{way.here}:default", "v1", "second").ok()
    client(*V, "delete", f"{way.here}:default", "v1/first").ok()
    client(*V, "copy", volume, f"{way.there}:default/v2", "--refresh").ok()
    assert held(way.target, "v2") == {"": {"a": "three"}, "second": {"a": "three"}}


def test_a_volume_is_moved(homes: Homes, way: Way, volume: str) -> None:
    lxc = homes.client("lxc")  # the stock one cannot
    lxc(*V, "move", volume, f"{way.there}:default/v2").ok()
    assert held(way.target, "v2") == WHOLE
    assert way.source.daemon.request("GET", f"{URL}/v1").status == 404


def test_backups_are_understood(client: Lxc, way: Way, volume: str, tmp_path: Path) -> None:
    file = str(tmp_path / "v1.tar.gz")
    client(*V, "export", f"{way.here}:default", "v1", file).ok()
    client(*V, "import", f"{way.there}:default", file, "v2").ok()
    assert held(way.target, "v2") == held(way.source, "v1") == WHOLE and volume
    found = (root(way.target, "v2", "first") / "a").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1000, 1001, 0o4751)
    assert way.target.daemon.request("GET", f"{URL}/v2").metadata["config"] == {"user.a": "b"}
