"""Routes that networks ask for never replace those that the host has."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from lightervisor.errors import HostError
from lightervisor.kernel.netlink import Netlink
from tests.harness import processes
from tests.harness.daemon import BRIDGE_PREFIX, Daemon

SUBNET = ip_network("198.51.100.0/24")


@pytest.fixture
def bridges() -> Iterator[list[str]]:
    """Two bridges that are up."""
    names = [f"{BRIDGE_PREFIX}{secrets.token_hex(3)}" for _ in range(2)]
    for name in names:
        processes.run(["ip", "link", "add", name, "type", "bridge"]).ok()
        processes.run(["ip", "link", "set", name, "up"]).ok()
    yield names
    for name in names:
        processes.run(["ip", "link", "delete", name]).ok()


def way(subnet: object) -> str:
    return processes.run(["ip", "-4", "route", "show", str(subnet)]).ok().stdout


def test_a_route_of_another_link_is_left_alone(bridges: list[str]) -> None:
    first, second = bridges
    with Netlink() as host:
        host.add_route(first, SUBNET)
        host.add_route(first, SUBNET)
        with pytest.raises(HostError, match="exists already"):
            host.add_route(second, SUBNET)
        assert way(SUBNET).count(first) == 1
        host.delete_route(second, SUBNET)
        assert first in way(SUBNET)
        host.delete_route(first, SUBNET)
        assert way(SUBNET) == ""


@pytest.mark.skipif(not way("default"), reason="this host has no default route")
def test_a_network_does_not_take_the_hosts_default_route(daemon: Daemon) -> None:
    before, name = way("default"), f"{BRIDGE_PREFIX}{secrets.token_hex(3)}"
    config = {"ipv4.address": "none", "ipv6.address": "none", "ipv4.routes": "0.0.0.0/0"}
    answer = daemon.request("POST", "/1.0/networks", {"name": name, "config": config})
    assert answer.status == 500, answer.body
    assert "0.0.0.0/0 exists already" in answer.error
    assert way("default") == before
    assert daemon.request("GET", f"/1.0/networks/{name}").status == 404
    assert processes.run(["ip", "link", "show", name]).status != 0
