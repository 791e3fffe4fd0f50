"""Both kinds of server as image servers for the other, with every client between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.peers import INCUS, LXD, Peer
from tests.peers.conftest import Site, marked


@pytest.fixture(params=["ours to theirs", "theirs to ours"])
def way(request: pytest.FixtureRequest, ours: Site, theirs: Site) -> tuple[Site, Site, str, str]:
    """From where to where, and the remotes' names."""
    there = (ours, theirs, "ours", "theirs")
    back = (theirs, ours, "theirs", "ours")
    return there if request.param == "ours to theirs" else back


Way = tuple[Site, Site, str, str]


@pytest.fixture(autouse=True)
def a_pair_of_ours(client: Lxc, way: Way, peer: Peer) -> None:
    """LXD's and Incus' names for the protocol differ, and neither knows the other's everywhere."""
    if client.program == INCUS.client and peer.kind is not INCUS:
        pytest.skip("the real LXD refuses Incus' name of the protocol")
    if client.program == LXD.client and peer.kind is INCUS and way[1].daemon is peer:
        pytest.skip("Incus refuses LXD's name of the protocol, and has other headers")


def test_an_image_is_listed_and_launched(client: Lxc, way: Way, unified: Path) -> None:
    source, target, here, there = way
    fingerprint = source.add(unified, alias="box", public=True)
    assert fingerprint[:12] in client("image", "list", f"{here}:", "-f", "csv").ok().stdout
    assert f"Fingerprint: {fingerprint}" in client("image", "info", f"{here}:box").ok().stdout
    client("launch", f"{here}:box", f"{there}:c1").ok()
    assert target.status("c1") == "Running"
    image = target.image(fingerprint)
    assert image["cached"]
    assert not image["public"]
    assert image["update_source"]["alias"] == "box"
    assert image["update_source"]["server"] == source.url


@pytest.mark.parametrize(
    ("mode", "shape"),
    [("pull", "unified"), ("pull", "split"), ("push", "unified"), ("push", "split"), ("relay", "split")],
)
def test_a_private_image_is_copied(client: Lxc, way: Way, tmp_path: Path, mode: str, shape: str) -> None:
    source, target, here, there = way
    if shape == "split":
        made = images.split(tmp_path, metadata=marked())
    else:
        made = (images.unified(tmp_path / "image.tar.gz", metadata=marked()),)
    client("image", "import", *made, f"{here}:", "--alias", "box").ok()
    fingerprint = source.image("box")["fingerprint"]
    flags = ["--mode", mode, "--copy-aliases", "--alias", "more", "--public"]
    client("image", "copy", f"{here}:box", f"{there}:", *flags).ok()
    image = target.image("more")
    assert image["fingerprint"] == fingerprint
    assert image["public"]
    assert sorted(alias["name"] for alias in image["aliases"]) == ["box", "more"]
    assert not image["cached"]
