"""The lines of a nic, and what is remembered about it."""

from dataclasses import replace

import pytest

from lightervisor.devices.device import InstanceFacts, load_device
from lightervisor.devices.lifecycle import start_devices
from lightervisor.devices.ports import BridgePort, HostEntry
from lightervisor.errors import Invalid

LOOPBACK = "lo"  # an interface that every machine has: nothing is done with it


class Hosts:
    """Remembers what was reserved."""

    def __init__(self) -> None:
        self.entries: dict[str, HostEntry] = {}

    def put(self, entry: HostEntry, *, choose: bool = False) -> HostEntry:
        entry = replace(entry, ipv4="10.1.2.99") if choose and not entry.ipv4 else entry
        self.entries[entry.owner] = entry
        return entry

    def remove(self, owner: str) -> None:
        self.entries.pop(owner, None)

    def owner_of(self, address: str) -> str:
        return next(
            (owner for owner, entry in self.entries.items() if address in (entry.ipv4, entry.ipv6, entry.hwaddr)), ""
        )

    def release(self, hwaddr: str) -> None:
        self.entries = {owner: entry for owner, entry in self.entries.items() if entry.hwaddr != hwaddr}


def test_a_nic_gets_a_mac_a_name_and_a_reservation() -> None:
    hosts = Hosts()
    port = BridgePort(bridge=LOOPBACK, network="net", mtu=1400, hosts=hosts)
    ((nic, started),) = start_devices(
        [load_device("eth0", {"type": "nic", "network": "net"}, InstanceFacts(name="c1"), port)]
    )
    lines = dict(started.lines)
    assert lines["lxc.net.0.type"] == "veth"
    assert lines["lxc.net.0.link"] == LOOPBACK
    assert lines["lxc.net.0.name"] == "eth0"
    assert lines["lxc.net.0.mtu"] == "1400"
    assert lines["lxc.net.0.hwaddr"].startswith("00:16:3e:")
    assert started.volatile["volatile.eth0.hwaddr"] == lines["lxc.net.0.hwaddr"]
    assert started.volatile["volatile.eth0.host_name"] == lines["lxc.net.0.veth.pair"]
    assert hosts.entries["c1.eth0"].hostname == "c1"
    nic.stop()
    assert hosts.entries == {}


def test_a_reserved_address_outlives_a_stop_and_ends_with_the_device() -> None:
    hosts = Hosts()
    port = BridgePort(bridge=LOOPBACK, network="net", config={"ipv4.address": "10.1.2.1/24"}, hosts=hosts)
    facts = InstanceFacts(name="c1", project="p", config={"volatile.eth0.hwaddr": "00:16:3e:00:00:01"})
    nic = load_device("eth0", {"type": "nic", "network": "net", "ipv4.address": "10.1.2.9"}, facts, port)
    nic.add()
    nic.stop()
    assert hosts.entries["p_c1.eth0"].ipv4 == "10.1.2.9"
    assert hosts.entries["p_c1.eth0"].hostname == "c1.p"
    nic.remove()
    assert hosts.entries == {}


def test_an_address_of_another_nic_is_refused() -> None:
    hosts = Hosts()
    port = BridgePort(bridge=LOOPBACK, network="net", config={"ipv4.address": "10.1.2.1/24"}, hosts=hosts)
    options = {"type": "nic", "network": "net", "ipv4.address": "10.1.2.9"}
    first, second = (load_device("eth0", options, InstanceFacts(name=name), port) for name in ("c1", "c2"))
    first.add()
    first.check_host()
    with pytest.raises(Invalid, match=r'^IP address "10.1.2.9" already defined on another NIC$'):
        second.check_host()
    first.remove()
    second.check_host()


def test_a_nic_keeps_the_hardware_address_it_was_added_with() -> None:
    port = BridgePort(bridge=LOOPBACK)
    options = {"type": "nic", "nictype": "bridged", "parent": LOOPBACK}
    chosen = load_device("eth0", options, InstanceFacts(name="c1"), port).choose()
    again = load_device("eth0", options, InstanceFacts(name="c1", config=chosen), port)
    assert again.choose() == {}
    ((_, started),) = start_devices([again])
    assert dict(started.lines)["lxc.net.0.hwaddr"] == chosen["volatile.eth0.hwaddr"]


def test_names_inside_are_numbered_past_those_taken() -> None:
    port = BridgePort(bridge=LOOPBACK)
    options = {"type": "nic", "nictype": "bridged", "parent": LOOPBACK}
    facts = InstanceFacts(name="c1")
    nics = [load_device("b", {**options, "name": "eth0"}, facts, port), load_device("a", options, facts, port)]
    names = {nic.name: dict(start.lines) for nic, start in start_devices(nics)}
    assert names["a"]["lxc.net.0.name"] == "eth1"
    assert names["b"]["lxc.net.1.name"] == "eth0"
