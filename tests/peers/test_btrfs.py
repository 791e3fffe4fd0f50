"""Pools of btrfs on both sides: streams between our daemon and the real LXD, over the network and in backups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.kernel import btrfs
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.harness.client_lxc import Lxc
from tests.harness.peers import LXD, Peer
from tests.peers.conftest import Homes, Site, discard

POOL = "streams"


@pytest.fixture
def client(peer: Peer, homes: Homes) -> Lxc:
    """Our client, where the other side is LXD and this host has btrfs."""
    if peer.kind is not LXD:
        pytest.skip("instances are exchanged with LXD")
    try:
        Btrfs.probe(Path("/tmp"))
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    return homes.client("lxc")


@pytest.fixture(params=["ours to theirs", "theirs to ours"])
def sites(request: pytest.FixtureRequest, client: Lxc, ours: Site, theirs: Site) -> Iterator[dict[str, Site]]:
    """From where to where, by the remotes' names; each has a pool of btrfs."""
    found = {"ours": ours, "theirs": theirs}
    if request.param != "ours to theirs":
        found = dict(reversed(found.items()))
    for name in found:
        client("storage", "create", f"{name}:{POOL}", "btrfs", "size=1GiB").ok()
    yield found
    for name, site in found.items():
        for instance in site.daemon.instance_names():
            discard(site.daemon, instance)
        for fingerprint in site.fingerprints():
            site.daemon.request("DELETE", f"/1.0/storage-pools/{POOL}/volumes/image/{fingerprint}")
        client("storage", "delete", f"{name}:{POOL}").ok()


def root(site: Site, name: str, snapshot: str = "") -> Path:
    """The root of an instance or snapshot on disk."""
    folder = "containers-snapshots" if snapshot else "containers"
    return site.daemon.state / "storage-pools" / POOL / folder / name / snapshot / "rootfs"


@pytest.fixture
def box(client: Lxc, sites: dict[str, Site], unified: Path) -> str:
    """An instance on the first of both, with a snapshot, and with a subvolume of its own."""
    here = next(iter(sites))
    sites[here].add(unified, alias="box")
    client("init", f"{here}:box", f"{here}:c1", "--storage", POOL).ok()
    nested = root(sites[here], "c1") / "srv-nested"
    btrfs.create(nested)
    (nested / "note").write_text("one\n")
    client("snapshot", f"{here}:c1", "first").ok()
    (nested / "note").write_text("two\n")
    return f"{here}:c1"


def check(site: Site, name: str) -> None:
    """All of it has come, what is nested as a subvolume, which no copy of files makes."""
    for snapshot, text in (("first", "one\n"), ("", "two\n")):
        nested = root(site, name, snapshot) / "srv-nested"
        assert (nested / "note").read_text() == text
        assert btrfs.is_subvolume(nested)


@pytest.mark.parametrize("mode", ["pull", "relay"])
def test_a_container_goes_as_streams(client: Lxc, sites: dict[str, Site], box: str, mode: str) -> None:
    there = list(sites)[1]
    client("copy", box, f"{there}:c2", "--mode", mode, "--storage", POOL).ok()
    check(sites[there], "c2")
    client("start", f"{there}:c2").ok()
    client("delete", f"{there}:c2", "--force").ok()
    client("copy", f"{box}/first", f"{there}:c3", "--mode", mode, "--storage", POOL).ok()
    assert (root(sites[there], "c3") / "srv-nested/note").read_text() == "one\n"


def test_a_backup_in_the_format_of_the_pool(client: Lxc, sites: dict[str, Site], box: str, tmp_path: Path) -> None:
    there = list(sites)[1]
    client("export", box, tmp_path / "c1.tar.gz", "--optimized-storage").ok()
    client("import", f"{there}:", tmp_path / "c1.tar.gz", "c2", "--storage", POOL).ok()
    check(sites[there], "c2")
    client("start", f"{there}:c2").ok()
    client("restore", f"{there}:c2", "first").ok()


V = ("storage", "volume")


def of_volume(site: Site, name: str, snapshot: str = "") -> Path:
    """Where the files of a custom volume are: in ours there is a directory more."""
    folder = f"custom-snapshots/default_{name}/{snapshot}" if snapshot else f"custom/default_{name}"
    place = site.daemon.state / "storage-pools" / POOL / folder
    return place / "rootfs" if (place / "backup.yaml").is_file() or (place / "mounted").is_file() else place


@pytest.fixture
def volume(client: Lxc, sites: dict[str, Site]) -> Iterator[str]:
    """One with a snapshot, a subvolume, and a file whose name is that of our directory."""
    here = next(iter(sites))
    client(*V, "create", f"{here}:{POOL}", "v1", "user.a=b").ok()
    files = of_volume(sites[here], "v1")
    for text in ("one\n", "two\n"):
        (files / "rootfs").write_text(text)
        os.chown(files / "rootfs", 5, 6)
        (files / "rootfs").chmod(0o640)
        if text == "one\n":
            btrfs.create(files / "nested", 0o755)
            client(*V, "snapshot", f"{here}:{POOL}", "v1", "first").ok()
        (files / "nested/note").write_text(text)
    files.chmod(0o1750)
    os.chown(files, 7, 8)
    yield "v1"
    for name, site in sites.items():
        for url in site.daemon.request("GET", f"/1.0/storage-pools/{POOL}/volumes/custom").metadata:
            if "/snapshots/" not in url:
                client(*V, "delete", f"{name}:{POOL}", url.rpartition("/")[2]).ok()


def check_volume(site: Site, name: str) -> None:
    """All of it has come."""
    for snapshot, text in (("first", "one\n"), ("", "two\n")):
        come = of_volume(site, name, snapshot)
        assert sorted(one.name for one in come.iterdir()) == ["nested", "rootfs"]
        assert (come / "rootfs").read_text() == text
        assert ((come / "rootfs").stat().st_uid, (come / "rootfs").stat().st_mode & 0o777) == (5, 0o640)
        assert btrfs.is_subvolume(come / "nested")
        if snapshot == "" and site.daemon.program != LXD.daemon:
            assert (come.stat().st_uid, come.stat().st_gid, come.stat().st_mode & 0o7777) == (7, 8, 0o1750)
    assert (of_volume(site, name) / "nested/note").read_text() == "two\n"


def test_a_volume_in_the_format_of_the_pool(client: Lxc, sites: dict[str, Site], volume: str, tmp_path: Path) -> None:
    here, there = sites
    client(*V, "export", f"{here}:{POOL}", volume, tmp_path / "v1.tar.gz", "--optimized-storage").ok()
    client(*V, "import", f"{there}:{POOL}", tmp_path / "v1.tar.gz", "v2").ok()
    check_volume(sites[there], "v2")
    client(*V, "export", f"{there}:{POOL}", "v2", tmp_path / "v2.tar.gz", "--optimized-storage").ok()
    client(*V, "import", f"{here}:{POOL}", tmp_path / "v2.tar.gz", "v3").ok()
    check_volume(sites[here], "v3")
    refused = client(*V, "import", "ours:default", tmp_path / "v2.tar.gz", "v4")
    assert 'Optimized backup storage driver "btrfs" differs' in refused.stderr


@pytest.mark.parametrize("mode", ["pull", "relay"])
def test_a_volume_goes_as_streams(client: Lxc, sites: dict[str, Site], volume: str, mode: str) -> None:
    here, there = sites
    client(*V, "copy", f"{here}:{POOL}/{volume}", f"{there}:{POOL}/v2", "--mode", mode).ok()
    check_volume(sites[there], "v2")
    client(*V, "copy", f"{there}:{POOL}/v2", f"{here}:{POOL}/v3", "--mode", mode).ok()
    check_volume(sites[here], "v3")
    client(*V, "copy", f"{here}:{POOL}/{volume}", f"{there}:{POOL}/v4", "--mode", mode, "--volume-only").ok()
    assert (of_volume(sites[there], "v4") / "nested/note").read_text() == "two\n"


def test_pools_of_other_drivers_get_files(client: Lxc, sites: dict[str, Site], box: str) -> None:
    there = list(sites)[1]
    client("copy", box, f"{there}:c2", "--instance-only").ok()
    client("start", f"{there}:c2").ok()
    assert client("exec", f"{there}:c2", "--", "cat", "/srv-nested/note").ok().stdout == "two\n"


def test_a_refresh(client: Lxc, sites: dict[str, Site], box: str) -> None:
    there = list(sites)[1]
    client("copy", box, f"{there}:c2", "--storage", POOL).ok()
    (root(sites[box.partition(":")[0]], "c1") / "new").write_text("new")
    client("copy", box, f"{there}:c2", "--refresh").ok()
    assert (root(sites[there], "c2") / "new").read_text() == "new"


def test_a_chain_comes_back(client: Lxc, sites: dict[str, Site], box: str) -> None:
    here, there = sites
    client("snapshot", box, "second").ok()
    client("copy", box, f"{there}:c2", "--storage", POOL).ok()
    client("copy", f"{there}:c2", f"{here}:c3", "--storage", POOL).ok()
    check(sites[here], "c3")
    client("start", f"{here}:c3").ok()
