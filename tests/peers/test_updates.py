"""Freshness: what is launched and kept follows the alias on the other server, whatever it stands for there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.peers import Peer
from tests.peers.conftest import Site, marked


def newer(source: Site, tmp_path: Path, alias: str) -> str:
    """Another public image under a name that one had before."""
    return source.add(images.unified(tmp_path / "newer.tar.gz", metadata=marked()), alias=alias, public=True)


def test_a_launch_here_gets_what_the_alias_means_there_now(
    lxc: Lxc, ours: Site, theirs: Site, unified: Path, tmp_path: Path
) -> None:
    old = theirs.add(unified, alias="box", public=True)
    lxc("launch", "theirs:box", "ours:c1").ok()
    lxc("init", "theirs:box", "ours:c2").ok()
    assert ours.fingerprints() == [old]
    assert ours.image(old)["cached"]
    new = newer(theirs, tmp_path, "box")
    lxc("init", "theirs:box", "ours:c3").ok()
    assert set(ours.fingerprints()) == {old, new}
    assert ours.daemon.request("GET", "/1.0/instances/c3").metadata["config"]["volatile.base_image"] == new


@pytest.mark.parametrize("way", ["theirs to ours", "ours to theirs"])
def test_a_kept_copy_is_renewed(lxc: Lxc, ours: Site, theirs: Site, unified: Path, tmp_path: Path, way: str) -> None:
    source, target = (theirs, ours) if way == "theirs to ours" else (ours, theirs)
    here, there = way.split(" to ")
    old = source.add(unified, alias="box", public=True)
    lxc("image", "copy", f"{here}:box", f"{there}:", "--auto-update", "--alias", "mine").ok()
    image = target.image("mine")
    assert (image["fingerprint"], image["auto_update"]) == (old, True)
    assert image["update_source"]["server"] == source.url
    new = newer(source, tmp_path, "box")
    lxc("image", "refresh", f"{there}:mine").ok()
    assert target.image("mine")["fingerprint"] == new
    assert target.image(new)["auto_update"]
    assert target.fingerprints() == [new]


def test_what_was_launched_serves_while_the_other_is_away(
    lxc: Lxc, ours: Site, theirs: Site, unified: Path, their_daemon_address: str
) -> None:
    fingerprint = theirs.add(unified, alias="box", public=True)
    lxc("init", "theirs:box", "ours:c1").ok()
    certificate = theirs.daemon.request("GET", "/1.0").metadata["environment"]["certificate"]
    source = {
        "type": "image", "mode": "pull", "server": theirs.url, "protocol": "lxd", "alias": "box",
        "certificate": certificate,
    }  # fmt: skip
    listen(theirs.daemon, "")
    try:
        done = ours.daemon.operation("POST", "/1.0/instances", {"name": "c2", "source": source})
    finally:
        listen(theirs.daemon, their_daemon_address)
    assert done["err"] == ""
    assert ours.fingerprints() == [fingerprint]


@pytest.fixture
def their_daemon_address(theirs: Site) -> str:
    """Where the peer listens."""
    return theirs.network.address


def listen(daemon: Daemon, address: str) -> None:
    """Let a daemon listen there, nowhere for ""."""
    assert daemon.request("PATCH", "/1.0", {"config": {"core.https_address": address}}).status == 200


def test_a_private_image_of_ours_needs_a_secret_that_opens_it_once(
    peer: Peer, ours: Site, theirs: Site, unified: Path
) -> None:
    fingerprint = ours.add(unified)
    certificate = ours.daemon.request("GET", "/1.0").metadata["environment"]["certificate"]
    made = ours.daemon.request("POST", f"/1.0/images/{fingerprint}/secret", {}).metadata
    source = {
        "type": "image", "mode": "pull", "server": ours.url, "fingerprint": fingerprint, "certificate": certificate,
        "protocol": peer.kind.name,
    }  # fmt: skip

    def fetch(secret: str) -> str:
        started = theirs.daemon.request("POST", "/1.0/images", {"source": {**source, "secret": secret}})
        ended = theirs.daemon.request("GET", f"{started.envelope['operation']}/wait")
        return ended.error or ended.metadata["err"]

    assert "not found" in fetch("")
    assert "not found" in fetch("wrong")
    assert theirs.fingerprints() == []
    assert fetch(made["metadata"]["secret"]) == ""
    assert theirs.fingerprints() == [fingerprint]
    theirs.daemon.operation("DELETE", f"/1.0/images/{fingerprint}")
    assert "not found" in fetch(made["metadata"]["secret"])
