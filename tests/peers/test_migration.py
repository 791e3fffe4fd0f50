"""Instances from our daemon to the real LXD and back, with each client, in each of the three ways."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.peers import LXD, Peer
from tests.peers.conftest import Homes, Site


@pytest.fixture(autouse=True)
def the_real_lxd(peer: Peer) -> None:
    """Incus is another system by now, with names and versions of its own."""
    if peer.kind is not LXD:
        pytest.skip("instances are exchanged with LXD")


@pytest.fixture(params=["lxc", "stock-lxc"])
def client(request: pytest.FixtureRequest, homes: Homes) -> Lxc:
    """Both clients that speak LXD's names."""
    return homes.client(request.param)


@pytest.fixture(params=["ours to theirs", "theirs to ours"])
def way(request: pytest.FixtureRequest, ours: Site, theirs: Site) -> Way:
    """From where to where."""
    there, back = Way(ours, theirs, "ours", "theirs"), Way(theirs, ours, "theirs", "ours")
    return there if request.param == "ours to theirs" else back


class Way(NamedTuple):
    """The two servers, and the remotes' names."""

    source: Site
    target: Site
    here: str
    there: str


def content(client: Lxc, name: str, path: str) -> str:
    """What a file of a running instance says, by a program of the guest."""
    return client("exec", name, "--", "cat", path).ok().stdout


@pytest.fixture
def box(client: Lxc, way: Way, unified: Path) -> str:
    """A stopped instance on the source, with a snapshot and files of odd owners, that was used."""
    way.source.add(unified, alias="box")
    name = f"{way.here}:c1"
    client("launch", f"{way.here}:box", name, "-c", "user.note=kept").ok()
    script = "echo one >/root/a; chown 1000:1001 /root/a; chmod 4751 /root/a; ln -s a /root/link; mkdir -m 700 /root/d"
    client("exec", name, "--", "sh", "-c", script).ok()
    client("snapshot", name, "first").ok()
    client("exec", name, "--", "sh", "-c", "echo two >/root/b; rm -r /root/d").ok()
    client("stop", name, "--force").ok()
    return name


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_a_container_is_copied_with_its_snapshots(client: Lxc, way: Way, box: str, mode: str) -> None:
    copy = f"{way.there}:c2"
    client("copy", box, copy, "--mode", mode).ok()
    assert way.source.status("c1") == "Stopped"
    made = way.target.daemon.request("GET", "/1.0/instances/c2?recursion=1").metadata
    assert made["config"]["user.note"] == "kept"
    assert [one["name"] for one in made["snapshots"]] == ["first"]
    client("start", copy).ok()
    assert content(client, copy, "/root/b") == "two\n"
    stat = client("exec", copy, "--", "stat", "-c", "%u:%g %a %N", "/root/a", "/root/link").ok().stdout
    assert stat.splitlines()[0].startswith("1000:1001 4751"), stat
    client("stop", copy, "--force").ok()
    client("restore", copy, "first").ok()
    client("start", copy).ok()
    assert client("exec", copy, "--", "ls", "/root").ok().stdout.split() == ["a", "d", "link"]


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_a_container_is_moved(client: Lxc, way: Way, box: str, mode: str) -> None:
    before = way.source.daemon.request("GET", "/1.0/instances/c1").metadata["config"]
    client("move", box, f"{way.there}:c1", "--mode", mode).ok()
    assert way.source.daemon.instance_names() == []
    after = way.target.daemon.request("GET", "/1.0/instances/c1").metadata["config"]
    for key in ("volatile.uuid", "volatile.eth0.hwaddr", "volatile.base_image"):
        assert after[key] == before[key]


def test_a_snapshot_becomes_an_instance(client: Lxc, way: Way, box: str) -> None:
    client("copy", f"{box}/first", f"{way.there}:c2").ok()
    client("start", f"{way.there}:c2").ok()
    assert client("exec", f"{way.there}:c2", "--", "ls", "/root").ok().stdout.split() == ["a", "d", "link"]


def test_an_instance_alone_leaves_its_snapshots_behind(client: Lxc, way: Way, box: str) -> None:
    client("copy", box, f"{way.there}:c2", "--instance-only").ok()
    assert way.target.daemon.request("GET", "/1.0/instances/c2/snapshots").metadata == []


def test_a_running_container_is_copied_as_it_is_at_one_moment(client: Lxc, way: Way, unified: Path) -> None:
    way.source.add(unified, alias="box")
    client("launch", f"{way.here}:box", f"{way.here}:c1").ok()
    client("exec", f"{way.here}:c1", "--", "sh", "-c", "echo alive >/root/a").ok()
    client("copy", f"{way.here}:c1", f"{way.there}:c2", "--stateless").ok()
    assert way.source.status("c1") == "Running"
    assert client("file", "pull", f"{way.there}:c2/root/a", "-").ok().stdout == "alive\n"


def test_a_copy_is_refreshed(client: Lxc, way: Way, box: str) -> None:
    copy = f"{way.there}:c2"
    client("copy", box, copy).ok()
    client("start", box).ok()
    client("exec", box, "--", "sh", "-c", "echo three >/root/c; rm /root/b").ok()
    client("stop", box, "--force").ok()
    client("snapshot", box, "second").ok()
    client("delete", f"{box}/first").ok()
    client("copy", box, copy, "--refresh").ok()
    made = way.target.daemon.request("GET", "/1.0/instances/c2?recursion=1").metadata
    assert [one["name"] for one in made["snapshots"]] == ["second"]
    client("start", copy).ok()
    assert client("exec", copy, "--", "ls", "/root").ok().stdout.split() == ["a", "c", "link"]
