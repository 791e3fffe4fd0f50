"""Rebuilding on Incus by our client, on our server by Incus' client; the real LXD 5.0 cannot, which is told."""

from __future__ import annotations

from pathlib import Path

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.peers import LXD, Peer
from tests.peers.conftest import Homes, Site, marked


def other(folder: Path) -> Path:
    return images.unified(folder / "other.tar.gz", metadata=marked(), extra={"rootfs/etc/other": b"other\n"})


def test_our_client_rebuilds_on_their_server(lxc: Lxc, theirs: Site, peer: Peer, unified: Path, tmp_path: Path) -> None:
    theirs.add(unified, alias="box")
    theirs.add(other(tmp_path), alias="other")
    lxc("launch", "theirs:box", "theirs:c1").ok()
    done = lxc("rebuild", "theirs:other", "theirs:c1", "--force")
    if peer.kind is LXD:
        done.failed('Error: The server is missing the required "instances_rebuild" API extension')
    else:
        done.ok()
        assert lxc("exec", "theirs:c1", "--", "cat", "/etc/other").ok().stdout == "other\n"
    assert theirs.status("c1") == "Running"


def test_their_client_rebuilds_on_our_server(
    homes: Homes, ours: Site, peer: Peer, unified: Path, tmp_path: Path
) -> None:
    if peer.kind is LXD:
        return  # its client has no such command
    incus = homes.client("incus")
    ours.add(unified, alias="box")
    ours.add(other(tmp_path), alias="other")
    incus("launch", "ours:box", "ours:c1").ok()
    incus("rebuild", "ours:other", "ours:c1", "--force").ok()
    assert incus("exec", "ours:c1", "--", "cat", "/etc/other").ok().stdout == "other\n"
    incus("stop", "--force", "ours:c1").ok()
    incus("rebuild", "ours:c1", "--empty").ok()
    assert "image.os" not in ours.daemon.request("GET", "/1.0/instances/c1").metadata["config"]
