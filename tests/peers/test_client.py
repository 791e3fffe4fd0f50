"""Our `lxc` on the real LXD's server: what it prints is what the stock one prints, what it changes is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.peers import LXD, Peer
from tests.peers.conftest import Homes, Site, marked

READS = [
    "image list {}",
    "image list {} -f csv",
    "image list {} -f json",
    "image list {} -f yaml",
    "image list {} -f compact -c lLfFpdatsu",
    "image list {} os=busybox type=container",
    "image list {}bo",
    "image list {} nothing",
    "image info {}box",
    "image show {}box",
    "image get-property {}box description",
    "image alias list {}",
    "image alias list {} -f csv",
    "config trust list {}",
    "config trust list {} -f csv",
    "config trust list {} -f json",
    "config trust list-tokens {}",
    "config trust show {}{who}",
    "config get {} core.https_address",
    "list {} -f json",
    "profile show {}default",
    "storage list {} -f yaml",
    "cluster list {}",
]
REFUSALS = [
    "image info {}nothing",
    "image show {}nothing",
    "image delete {}nothing",
    "image alias delete {}nothing",
    "image alias rename {}nothing other",
    "image get-property {}nothing os",
    "image export {}nothing",
    "image refresh {}nothing",
    "config trust show {}nothing",
    "config trust remove {}nothing",
    "config trust revoke-token {}nothing",
    "launch {}nothing {}c1",
    "image copy {}nothing ours:",
    "image copy {}box theirs:",
]


@pytest.fixture(autouse=True)
def only_lxd(peer: Peer) -> None:
    """The stock client's tables for Incus' servers differ from version to version."""
    if peer.kind is not LXD:
        pytest.skip("compared on the real LXD")


@pytest.fixture
def stock(homes: Homes) -> Lxc:
    """The stock client."""
    return homes.client("stock-lxc")


@pytest.fixture
def box(theirs: Site, tmp_path: Path) -> str:
    """Two images on the real LXD; the fingerprint of the one named `box`."""
    theirs.add(images.unified(tmp_path / "other.tar.gz", metadata=marked()))
    fingerprint = theirs.add(images.unified(tmp_path / "box.tar.gz", metadata=marked()), alias="box", public=True)
    theirs.daemon.request(
        "POST", "/1.0/images/aliases", {"name": "second", "target": fingerprint, "description": "2nd"}
    )
    return fingerprint


def words(line: str, theirs: Site) -> list[str]:
    """What is typed."""
    (one,) = theirs.daemon.request("GET", "/1.0/certificates").metadata
    return line.format("theirs:", "theirs:", who=one.rpartition("/")[2][:12]).split()


@pytest.mark.usefixtures("box")
def test_what_is_read_looks_the_same(lxc: Lxc, stock: Lxc, theirs: Site) -> None:
    for line in READS:
        typed = words(line, theirs)
        ours, real = lxc(*typed), stock(*typed)
        if "image info" in line:  # the stock client takes properties as they come
            assert sorted(ours.stdout.splitlines()) == sorted(real.stdout.splitlines())
        else:
            assert (line, ours.stdout) == (line, real.stdout)
        assert (line, ours.status) == (line, real.status)


@pytest.mark.usefixtures("box")
def test_refusals_look_the_same(lxc: Lxc, stock: Lxc, theirs: Site) -> None:
    for line in REFUSALS:
        typed = words(line, theirs)
        ours, real = lxc(*typed), stock(*typed)
        assert (line, ours.status) == (line, real.status)
        # Ours says behind it, in parentheses, what to do.
        assert ours.stderr.startswith(real.stderr.rstrip("\n")), (line, ours.stderr, real.stderr)


def test_images_are_changed(lxc: Lxc, theirs: Site, box: str) -> None:
    lxc("image", "set-property", "theirs:box", "colour", "blue").ok()
    assert theirs.image("box")["properties"]["colour"] == "blue"
    assert lxc("image", "get-property", "theirs:box", "colour").ok().stdout == "blue\n"
    lxc("image", "unset-property", "theirs:box", "colour").ok()
    shown = lxc("image", "show", "theirs:box").ok().stdout
    assert "colour" not in shown
    changed = shown.replace("public: true", "public: false").replace("properties:\n", "properties:\n  note: x\n")
    lxc("image", "edit", "theirs:box", stdin=changed).ok()
    assert not theirs.image("box")["public"]
    assert theirs.image("box")["properties"]["note"] == "x"
    lxc("image", "alias", "create", "theirs:third", box).ok()  # no rename: the real LXD takes 10 s for it
    assert theirs.image("third")["fingerprint"] == box
    lxc("image", "alias", "delete", "theirs:third").ok()
    assert sorted(alias["name"] for alias in theirs.image("box")["aliases"]) == ["box", "second"]
    lxc("image", "delete", f"theirs:{box[:12]}").ok()
    assert box not in theirs.fingerprints()
