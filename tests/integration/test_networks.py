"""Managed bridges: addresses, names, leases, NAT."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from ipaddress import IPv4Interface

import pytest
import yaml

from lightervisor.networks import subnets
from tests.harness import processes
from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import BRIDGE_PREFIX, Daemon
from tests.harness.processes import eventually


@pytest.fixture
def bridge(daemon: Daemon) -> Iterator[str]:
    """A name for one more bridge; it is deleted when the test made it."""
    chosen = f"{BRIDGE_PREFIX}{secrets.token_hex(3)}"
    yield chosen
    daemon.request("DELETE", f"/1.0/networks/{chosen}")


@pytest.fixture
def gateway() -> IPv4Interface:
    """An address in a subnet that this host does not use: other test runs have theirs."""
    return subnets.free_ipv4(subnets.in_use())


def links() -> str:
    return processes.run(["ip", "-o", "link"]).ok().stdout


def test_a_bridge_is_made_listed_and_deleted(client: Client, bridge: str, gateway: IPv4Interface) -> None:
    client.create_network(bridge, {"ipv4.address": str(gateway), "ipv6.address": "none"})
    assert bridge in client.networks()
    assert f" {bridge}:" in links()
    client.delete_network(bridge)
    assert bridge not in client.networks()
    assert f" {bridge}:" not in links()
    assert bridge not in processes.run(["nft", "list", "ruleset"]).stdout


def test_automatic_addresses_are_free_and_private(client: Client, daemon: Daemon, bridge: str) -> None:
    client.create_network(bridge, {})
    config = daemon.request("GET", f"/1.0/networks/{bridge}").metadata["config"]
    assert config["ipv4.address"].startswith("10.")
    assert config["ipv6.address"].startswith("fd42:")
    routes = processes.run(["ip", "-4", "route"]).stdout
    assert routes.count(config["ipv4.address"].rpartition(".")[0] + ".") >= 1


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"ipv4.address": "10.1.2.3"}, "ipv4.address"),
        ({"no.such": "key"}, "no.such"),
        ({"ipv4.nat": "perhaps"}, "ipv4.nat"),
        ({"ipv4.dhcp.ranges": "10.0.0.1-10.0.0.2\nlog-queries"}, "ipv4.dhcp.ranges"),
    ],
)
def test_a_bad_value_is_refused_and_makes_nothing(
    daemon: Daemon, bridge: str, config: dict[str, str], text: str
) -> None:
    answer = daemon.request("POST", "/1.0/networks", {"name": bridge, "type": "bridge", "config": config})
    assert answer.status >= 400
    assert text in answer.error
    assert f" {bridge}:" not in links()


@pytest.mark.parametrize("bad", ["x" * 16, "a/b", "with space", "..", "a"])
def test_a_name_that_no_interface_can_have_is_refused(daemon: Daemon, bad: str) -> None:
    assert daemon.request("POST", "/1.0/networks", {"name": bad, "type": "bridge"}).status >= 400


def test_a_network_in_use_stays(client: Client, daemon: Daemon, running: str) -> None:
    with pytest.raises(ClientFailure, match="in use"):
        client.delete_network(daemon.bridge)


def test_an_instance_gets_an_address_a_name_and_a_lease(either: Lxc, daemon: Daemon, running: str) -> None:
    def lease() -> list[str]:
        leases = daemon.request("GET", f"/1.0/networks/{daemon.bridge}/leases").metadata
        return [entry["address"] for entry in leases if entry["hostname"] == running and "." in entry["address"]]

    address = eventually(lease, what="a lease")[0]
    eventually(lambda: address in either("list", running, "-c", "4", "-f", "csv").ok().stdout, what="the address")
    assert running in either("network", "list-leases", daemon.bridge).ok().stdout
    found = either("exec", running, "--", "nslookup", f"{running}.lxd").stdout
    assert address in found


def test_two_instances_reach_each_other_by_name(lxc: Lxc, image: str, running: str, daemon: Daemon) -> None:
    other = f"{running}-b"
    lxc.launch(image, other)
    try:
        eventually(
            lambda: lxc.run(running, "ping", "-c", "1", "-W", "1", f"{other}.lxd").status == 0,
            what="the ping to be answered",
        )
    finally:
        lxc("delete", "--force", other).ok()


def test_the_cable_has_the_address_that_was_asked_for(lxc: Lxc, image: str, name: str, daemon: Daemon) -> None:
    network = daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]["ipv4.address"]
    wanted = network.rpartition(".")[0] + ".77"
    lxc("init", image, name).ok()
    lxc("config", "device", "override", name, "eth0", f"ipv4.address={wanted}").ok()
    lxc("start", name).ok()
    eventually(lambda: wanted in lxc("list", name, "-c", "4", "-f", "csv").stdout, what="the address")


def test_show_get_set_and_info(either: Lxc, bridge: str, gateway: IPv4Interface) -> None:
    either.create_network(bridge, {"ipv4.address": str(gateway), "ipv6.address": "none"})
    either("network", "set", bridge, "ipv4.nat=true").ok()
    assert either("network", "get", bridge, "ipv4.nat").ok().stdout == "true\n"
    assert bridge in processes.run(["nft", "list", "ruleset"]).stdout
    shown = yaml.safe_load(either("network", "show", bridge).ok().stdout)
    assert shown["type"] == "bridge"
    assert shown["managed"] is True
    info = either("network", "info", bridge).ok().stdout
    assert str(gateway.ip) in info
    either("network", "unset", bridge, "ipv4.nat").ok()
    assert either("network", "get", bridge, "ipv4.nat").ok().stdout.strip() == ""
