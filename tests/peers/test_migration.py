"""Instances from our daemon to the real LXD and back, with each client, in each of the three ways."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_a_container_goes_to_the_real_lxd(client: Lxc, ours: Site, theirs: Site, unified: Path, mode: str) -> None:
    if client.program == LXD.client and mode != "pull":
        pytest.skip("that client wants the extension container_push")
    ours.add(unified, alias="box")
    client("init", "ours:box", "ours:c1", "-c", "user.note=kept").ok()
    client("snapshot", "ours:c1", "first").ok()
    client("copy", "ours:c1", "theirs:c2", "--mode", mode).ok()
    assert theirs.status("c2") == "Stopped"
    client("start", "theirs:c2").ok()
    assert theirs.status("c2") == "Running"
