"""`lxc network`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.conftest import Client

BRIDGE: dict[str, Any] = {
    "config": {"ipv4.address": "10.1.2.1/24"},
    "description": "d",
    "name": "br0",
    "type": "bridge",
    "used_by": ["/1.0/instances/c1"],
    "managed": True,
    "status": "Created",
    "locations": ["none"],
}
PHYSICAL: dict[str, Any] = {**BRIDGE, "config": {}, "name": "eth0", "type": "physical", "managed": False, "status": ""}
OVN: dict[str, Any] = {**BRIDGE, "name": "ovn0", "type": "ovn"}
LEASES = [
    {"hostname": "c10", "hwaddr": "00:16", "address": "10.1.2.10", "type": "static", "location": "m1"},
    {"hostname": "c2", "hwaddr": "00:17", "address": "10.1.2.2", "type": "dynamic", "location": "m1"},
]
NIC = {"type": "nic", "network": "br0"}
C1: dict[str, Any] = {"name": "c1", "devices": {"eth0": NIC, "root": {"type": "disk"}}}
C2: dict[str, Any] = {"name": "c2", "devices": {"a": NIC, "b": {"type": "nic", "parent": "br0"}, "c": {"type": "none"}}}
STATE: dict[str, Any] = {
    "addresses": [{"family": "inet", "address": "10.1.2.1", "netmask": "24", "scope": "global"}],
    "counters": {"bytes_received": 1500, "bytes_sent": 0, "packets_received": 3, "packets_sent": 4},
    "hwaddr": "00:16:3e:00:00:01",
    "mtu": 1500,
    "state": "up",
    "type": "broadcast",
    "bond": None,
    "bridge": {
        "id": "8000.1",
        "stp": False,
        "forward_delay": 1500,
        "vlan_default": 1,
        "vlan_filtering": True,
        "upper_devices": ["eth1", "eth2"],
    },
    "vlan": {"lower_device": "eth1", "vid": 5},
    "ovn": None,
}
REPORT = """\
Name: br0
MAC address: 00:16:3e:00:00:01
MTU: 1500
State: up
Type: broadcast

IP addresses:
  inet\t10.1.2.1/24 (global)

Network usage:
  Bytes received: 1.50kB
  Bytes sent: 0B
  Packets received: 3
  Packets sent: 4

Bridge:
  ID: 8000.1
  STP: false
  Forward delay: 1500
  Default VLAN ID: 1
  VLAN filtering: true
  Upper devices: eth1, eth2

VLAN:
  Lower device: eth1
  VLAN ID: 5
"""


@pytest.fixture
def lxc(client: Client) -> Client:
    client.server.answers = {
        "GET /1.0": {"environment": {"server_clustered": False}},
        "GET /1.0/networks?recursion=1": [BRIDGE, {**PHYSICAL, "name": "lo", "type": "loopback"}, PHYSICAL],
        "GET /1.0/networks/br0": BRIDGE,
        "GET /1.0/networks/br0?target=m1": BRIDGE,
        "GET /1.0/networks/eth0": PHYSICAL,
        "GET /1.0/networks/ovn0": OVN,
        "GET /1.0/networks/br0/leases": LEASES,
        "GET /1.0/networks/br0/state": STATE,
        "GET /1.0/networks/br0/state?target=m1": STATE,
        "GET /1.0/networks/eth0/state": {**STATE, "addresses": [], "bridge": None, "vlan": None, "counters": None},
        "GET /1.0/instances/c1": C1,
        "GET /1.0/instances/c2": C2,
        "GET /1.0/profiles/p": {"name": "p", "config": {}, "description": "", "devices": {"eth0": NIC}},
    }
    return client


def test_list_leaves_out_what_nobody_can_be_attached_to(lxc: Client) -> None:
    assert lxc("network", "list", "-f", "csv") == "br0,bridge,YES,10.1.2.1/24,,d,1,CREATED\neth0,physical,NO,,,d,1,\n"
    assert '"name":"lo"' in lxc("network", "list", "-f", "json")


def test_leases_are_sorted_and_in_a_cluster_have_a_place(lxc: Client) -> None:
    assert lxc("network", "list-leases", "br0", "-f", "csv") == (
        "c2,00:17,10.1.2.2,DYNAMIC\nc10,00:16,10.1.2.10,STATIC\n"
    )
    lxc.server.answers["GET /1.0"] = {"environment": {"server_clustered": True}}
    assert lxc("network", "list-leases", "br0", "-f", "csv").startswith("c2,00:17,10.1.2.2,DYNAMIC,m1\n")


def test_info_reports_an_interface_with_what_its_type_adds(lxc: Client) -> None:
    assert lxc("network", "info", "br0") == REPORT
    assert lxc("network", "info", "eth0").endswith("Type: broadcast\n\nNetwork usage:\n" + "".join(
        f"  {line}\n" for line in ("Bytes received: 0B", "Bytes sent: 0B", "Packets received: 0", "Packets sent: 0")
    ))  # fmt: skip


def test_a_target_needs_a_cluster(lxc: Client) -> None:
    text = "To use --target, the destination remote must be a cluster"
    assert lxc.fail("network", "info", "br0", "--target", "m1") == text
    lxc.server.answers["GET /1.0"] = {"environment": {"server_clustered": True}}
    assert lxc("network", "info", "br0", "--target", "m1") == REPORT


@pytest.mark.parametrize(
    ("words", "said", "request_line", "body"),
    [
        ("create n a=b -t ovn", "Network n created", "POST /1.0/networks", {"name": "n", "type": "ovn"}),
        ("create n --target m1", "Network n pending on member m1", "POST /1.0/networks?target=m1", {"config": {}}),
        ("delete br0", "Network br0 deleted", "DELETE /1.0/networks/br0", None),
        ("rename br0 x", "Network br0 renamed to x", "POST /1.0/networks/br0", {"name": "x"}),
        ("set br0 a=b", "", "PUT /1.0/networks/br0", {"config": {**BRIDGE["config"], "a": "b"}, "description": "d"}),
        ("set br0 a b --target m1", "", "PUT /1.0/networks/br0?target=m1", {"description": "d"}),
        ("unset br0 ipv4.address", "", "PUT /1.0/networks/br0", {"config": {"ipv4.address": ""}}),
        ("attach br0 c1", "", "PUT /1.0/instances/c1", {"devices": {**C1["devices"], "br0": NIC}}),
        ("attach br0 c1 x y", "", "PUT /1.0/instances/c1", {"devices": {**C1["devices"], "x": {**NIC, "name": "y"}}}),
        (
            "attach eth0 c1 x",
            "",
            "PUT /1.0/instances/c1",
            {"devices": {**C1["devices"], "x": {"type": "nic", "nictype": "macvlan", "parent": "eth0"}}},
        ),
        (
            "attach-profile br0 p x",
            "",
            "PUT /1.0/profiles/p",
            {"devices": {"eth0": NIC, "x": {"type": "nic", "nictype": "bridged", "parent": "br0"}}},
        ),
        (
            "attach-profile ovn0 p x",
            "",
            "PUT /1.0/profiles/p",
            {"devices": {"eth0": NIC, "x": {"type": "nic", "network": "ovn0"}}},
        ),
        ("detach local:br0 c1", "", "PUT /1.0/instances/c1", {"devices": {"root": {"type": "disk"}}}),
        ("detach br0 c2 b", "", "PUT /1.0/instances/c2", {"devices": {"a": NIC, "c": {"type": "none"}}}),
        ("detach-profile br0 p", "", "PUT /1.0/profiles/p", {"devices": {}}),
    ],
)
def test_a_change_is_sent_and_told(
    lxc: Client, words: str, said: str, request_line: str, body: dict[str, Any] | None
) -> None:
    assert lxc("network", *words.split()) == (f"{said}\n" if said else "")
    assert lxc.server.asked[-1] == request_line
    sent = lxc.server.sent.get(request_line, {})
    assert {key: sent[key] for key in body or {}} == (body or {})


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("show local:", "Missing network name"),
        ("create n foo", "Bad key/value pair: foo"),
        ("set eth0 a=b", "Only managed networks can be modified"),
        ("unset eth0 a", "Only managed networks can be modified"),
        ("attach br0 c1 eth0", "Device already exists: eth0"),
        ("attach nope c1", "Not found"),
        ("attach local: c1", "Missing network name"),
        ("detach br0 c2", "More than one device matches, specify the device name"),
        ("detach br0 c2 x", "The specified device doesn't exist"),
        ("detach br0 c2 c", "The specified device doesn't match the network"),
        ("detach ovn0 c2", "No device found for this network"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(lxc: Client, words: str, text: str) -> None:
    assert lxc.fail("network", *words.split()) == text
    assert [line for line in lxc.server.asked if not line.startswith("GET")] == []


def test_an_interface_is_at_no_location(lxc: Client) -> None:
    lxc.server.answers["GET /1.0/networks/eth0"] = {**PHYSICAL, "used_by": None, "locations": None}
    assert "used_by: []\n" in lxc("network", "show", "eth0")
    assert "locations: []\n" in lxc("network", "show", "eth0")


def test_an_unset_key_prints_nothing(lxc: Client) -> None:
    assert lxc("network", "get", "br0", "ipv4.address") == "10.1.2.1/24\n"
    assert lxc("network", "get", "br0", "ipv6.address") == ""


def test_only_managed_networks_are_edited(lxc: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightervisor.cli.session.Session.has_terminal", lambda _self: True)
    monkeypatch.setattr("lightervisor.cli.editor.run_editor", lambda _environ, text, _suffix: text)
    lxc("network", "edit", "br0")
    assert lxc.server.sent["PUT /1.0/networks/br0"] == {"config": BRIDGE["config"], "description": "d"}
    assert lxc.fail("network", "edit", "eth0") == "Only managed networks can be modified"
