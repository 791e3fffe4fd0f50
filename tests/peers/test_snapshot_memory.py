"""Memory of stateful snapshots and the real LXD, which would take it for its own and can do nothing with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import watched
from tests.harness import memory
from tests.harness.certificates import Identity
from tests.harness.memory import Counting
from tests.harness.peers import LXD, Peer
from tests.peers.conftest import Homes, Site, listening


@pytest.fixture
def keeper(identity: Identity) -> Iterator[Site]:
    """A daemon of ours that has criu."""
    for daemon in watched(lambda one: memory.add_image(one.start().initialise()), memory.daemon_with_criu()):
        yield from listening(daemon, identity)


def test_a_move_to_lxd_does_not_lose_it_unasked(peer: Peer, keeper: Site, theirs: Site, homes: Homes) -> None:
    if peer.kind is not LXD:
        pytest.skip("instances are exchanged with LXD")
    client = homes.client("lxc")
    client("remote", "add", "keeper", keeper.url, "--accept-certificate").ok()
    counting = Counting(keeper.daemon).start()
    try:
        counting.lxc.say("snapshot", counting.name, "warm", "--stateful")
        counting.lxc.say("stop", "--force", counting.name)
        move = ("move", f"keeper:{counting.name}", f"theirs:{counting.name}")
        assert "What snapshot warm has in memory would not come along" in client(*move).failed().stderr
        assert theirs.daemon.instance_names() == []
        counting.lxc.say("restore", counting.name, "warm", "--stateful")
        counting.check()
    finally:
        client("remote", "remove", "keeper")
        counting.lxc("delete", "--force", counting.name)
