"""What a guest may send when its nic is filtered, packet by packet, and what reaches another guest of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from ipaddress import IPv6Network, ip_interface
from pathlib import Path

import pytest

from lightervisor.firewall.nic_rules import by_hwaddr, link_local
from tests.conftest import home
from tests.harness import chains, images
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.packets import (
    ARP,
    IPV4,
    IPV6,
    Wire,
    address_option,
    arp,
    dhcp,
    frame,
    ipv4,
    ipv6,
    neighbour,
    router,
    udp,
)

OTHER = "00:16:3e:ba:dd:00"
NS, NA = 135, 136
Forge = Callable[["Own"], bytes]


class Own:
    """What the guest may send from, and the gateway, whom it might like to be."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        instance = daemon.request("GET", f"/1.0/instances/{name}").metadata
        network = daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]
        self.mac = instance["config"]["volatile.eth0.hwaddr"]
        gateway = ip_interface(network["ipv4.address"])
        self.gateway, self.ip = str(gateway.ip), str(gateway.ip + 76)
        # Inside the subnets: what leaves them would get the bridge's address by NAT where bridges call iptables.
        self.all, self.all6 = str(gateway.network.broadcast_address), str(ip_interface(network["ipv6.address"]).ip + 9)
        self.ip6 = str(by_hwaddr(IPv6Network(network["ipv6.address"], strict=False), self.mac))
        self.gateway6, self.local = network["ipv6.address"].partition("/")[0], str(link_local(self.mac))


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


@pytest.fixture(scope="module")
def victim(module_lxc: Lxc, image: str) -> Iterator[str]:
    """Another container on the bridge."""
    module_lxc("launch", image, "victim").ok()
    yield "victim"
    module_lxc("delete", "--force", "victim").ok()


def guest(daemon: Daemon, module_lxc: Lxc, image: str, name: str, *options: str) -> None:
    address = str(
        ip_interface(daemon.request("GET", f"/1.0/networks/{daemon.bridge}").metadata["config"]["ipv4.address"]).ip + 76
    )
    module_lxc("init", image, name).ok()
    module_lxc("config", "device", "override", name, "eth0", f"ipv4.address={address}", *options).ok()
    module_lxc("start", name).ok()


@pytest.fixture(scope="module")
def filtered(daemon: Daemon, module_lxc: Lxc, image: str, victim: str) -> Iterator[str]:
    """A container of which everything is filtered."""
    filters = [f"security.{kind}_filtering=true" for kind in ("mac", "ipv4", "ipv6")]
    guest(daemon, module_lxc, image, "filtered", *filters)
    yield "filtered"
    module_lxc("delete", "--force", "filtered").ok()


def reaches(daemon: Daemon, sender: str, victim: str, data: bytes) -> bool:
    """Whether a frame reaches the victim: an allowed one follows it and tells when to stop waiting."""
    own, marker = Own(daemon, sender), secrets.token_bytes(16)
    with Wire(pid_of(daemon, victim)) as ear, Wire(pid_of(daemon, sender)) as mouth:
        mouth.send(data)
        mouth.send(frame(own.mac, IPV4, ipv4(own.ip, udp(9, 9, marker), target=own.all)))
        # Behind the link layer, whose tag of a VLAN is taken off on the way.
        return any(data[18:54] in seen for seen in ear.seen_before(marker))


HONEST: dict[str, Forge] = {
    "arp": lambda own: frame(own.mac, ARP, arp(own.mac, own.ip)),
    "arp probe": lambda own: frame(own.mac, ARP, arp(own.mac, "0.0.0.0", target=own.ip, operation=1)),
    "ipv4": lambda own: frame(own.mac, IPV4, ipv4(own.ip, udp(1000, 2000, b"honest datagram"), target=own.all)),
    "dhcp request": lambda own: frame(own.mac, IPV4, ipv4("0.0.0.0", udp(68, 67, dhcp(own.mac)))),
    "ipv6": lambda own: frame(own.mac, IPV6, ipv6(own.ip6, udp(1000, 2000, b"honest"), protocol=17, target=own.all6)),
    "link-local": lambda own: frame(own.mac, IPV6, ipv6(own.local, udp(546, 547, b"ask"), protocol=17)),
    "neighbour": lambda own: frame(own.mac, IPV6, ipv6(own.ip6, neighbour(NA, own.ip6, address_option(2, own.mac)))),
    "is it free": lambda own: frame(own.mac, IPV6, ipv6("::", neighbour(NS, own.ip6))),
    "is it free, with a nonce": lambda own: frame(
        own.mac, IPV6, ipv6("::", neighbour(NS, own.local, b"\x0e\x01nonce!"))
    ),
}
FORGED: dict[str, Forge] = {
    "hardware address": lambda own: frame(OTHER, IPV4, ipv4(own.ip, udp(1000, 2000, b"forged sender"), target=own.all)),
    "arp of the gateway": lambda own: frame(own.mac, ARP, arp(own.mac, own.gateway)),
    "arp for another's hardware address": lambda own: frame(own.mac, ARP, arp(OTHER, own.ip)),
    "arp probe for another's address": lambda own: frame(
        own.mac, ARP, arp(own.mac, "0.0.0.0", target=own.gateway, operation=1)
    ),
    "arp in a vlan": lambda own: frame(own.mac, ARP, arp(own.mac, own.gateway), vlan=0),
    "arp of another hardware": lambda own: frame(own.mac, ARP, b"\0\x06" + arp(own.mac, own.gateway)[2:]),
    "ipv4": lambda own: frame(own.mac, IPV4, ipv4(own.gateway, udp(1000, 2000, b"from the gateway"), target=own.all)),
    "ipv4 in a vlan": lambda own: frame(own.mac, IPV4, ipv4(own.gateway, udp(1, 2, b"tagged"), target=own.all), vlan=0),
    "dhcp answers": lambda own: frame(
        own.mac, IPV4, ipv4(own.ip, udp(67, 68, dhcp(OTHER, reply=True)), target=own.all)
    ),
    "dhcp request of another": lambda own: frame(own.mac, IPV4, ipv4("0.0.0.0", udp(68, 67, dhcp(OTHER)))),
    "anything from nobody": lambda own: frame(own.mac, IPV4, ipv4("0.0.0.0", udp(1000, 2000, b"from nobody"))),
    "ipv6": lambda own: frame(
        own.mac, IPV6, ipv6(own.gateway6, udp(1000, 2000, b"forged"), protocol=17, target=own.all6)
    ),
    "another's link-local": lambda own: frame(own.mac, IPV6, ipv6("fe80::1", udp(1, 2, b"forged"), protocol=17)),
    "router": lambda own: frame(own.mac, IPV6, ipv6(own.local, router())),
    "router behind a header": lambda own: frame(own.mac, IPV6, ipv6(own.local, router(), options=True)),
    "dhcpv6 answers": lambda own: frame(own.mac, IPV6, ipv6(own.local, udp(547, 546, b"\x07\0\0\0"), protocol=17)),
    "neighbour": lambda own: frame(
        own.mac, IPV6, ipv6(own.local, neighbour(NA, own.gateway6, address_option(2, own.mac)))
    ),
    "neighbour behind a header": lambda own: frame(
        own.mac, IPV6, ipv6(own.local, neighbour(NA, own.gateway6, address_option(2, own.mac)), options=True)
    ),
    "neighbour with another's hardware address": lambda own: frame(
        own.mac, IPV6, ipv6(own.local, neighbour(NA, own.ip6, address_option(2, OTHER)))
    ),
    "neighbour with two options": lambda own: frame(
        own.mac, IPV6, ipv6(own.local, neighbour(NA, own.ip6, b"\x0e\x01nonce!" + address_option(2, OTHER)))
    ),
    "question from another's hardware address": lambda own: frame(
        own.mac, IPV6, ipv6(own.local, neighbour(NS, own.gateway6, address_option(1, OTHER)))
    ),
    "is another's free": lambda own: frame(own.mac, IPV6, ipv6("::", neighbour(NS, own.gateway6))),
    "neither": lambda own: frame(own.mac, 0x88CC, b"a protocol that nobody filters, with some length to it"),
}


@pytest.mark.parametrize("what", HONEST)
def test_what_is_its_own_goes_through(daemon: Daemon, filtered: str, victim: str, what: str) -> None:
    assert reaches(daemon, filtered, victim, HONEST[what](Own(daemon, filtered)))


@pytest.mark.parametrize("what", FORGED)
def test_what_is_forged_is_dropped(daemon: Daemon, filtered: str, victim: str, what: str) -> None:
    assert not reaches(daemon, filtered, victim, FORGED[what](Own(daemon, filtered)))


def test_what_is_forged_would_reach_others_without_filters(
    daemon: Daemon, module_lxc: Lxc, image: str, victim: str, name: str
) -> None:
    """Else the test above would prove nothing."""
    module_lxc("launch", image, name).ok()
    own = Own(daemon, name)
    assert [what for what, forge in FORGED.items() if not reaches(daemon, name, victim, forge(own))] == []


def test_the_guest_gets_its_address_and_reaches_the_gateway(daemon: Daemon, lxc: Lxc, filtered: str) -> None:
    own = Own(daemon, filtered)
    lxc("exec", filtered, "--", "udhcpc", "-q", "-n", "-i", "eth0", "-s", "/etc/dhcp").ok()
    assert own.ip in lxc.run(filtered, "ip", "address", "show", "eth0").stdout
    lxc("exec", filtered, "--", "ping", "-c", "1", "-W", "5", own.gateway).ok()


def chain(daemon: Daemon, name: str) -> str:
    return chains.listed(daemon, "bridge", "pre", f"{name}.eth0")


def test_filters_change_while_it_runs_and_end_with_it(daemon: Daemon, lxc: Lxc, running: str) -> None:
    assert chain(daemon, running) == ""
    lxc("config", "device", "override", running, "eth0", "security.mac_filtering=true").ok()
    assert "ether saddr !=" in chain(daemon, running)
    assert "ip saddr" not in chain(daemon, running)
    lxc("config", "device", "set", running, "eth0", "security.ipv4_filtering=true").ok()
    # Without an address of its own it was given one for good.
    reserved = (
        (daemon.state / "networks" / daemon.bridge / "dnsmasq.hosts" / f"{running}.eth0").read_text().split(",")[1]
    )
    rules = chain(daemon, running)
    assert f"ip saddr {{ {reserved} }} accept" in rules or f"ip saddr {reserved} accept" in rules
    lxc("config", "device", "set", running, "eth0", "ipv6.address=none", "security.ipv6_filtering=true").ok()
    assert "meta protocol ip6 drop" in chain(daemon, running)
    lxc("restart", "--force", running).ok()
    assert f"{reserved}" in chain(daemon, running)
    lxc("config", "device", "remove", running, "eth0").ok()
    assert chain(daemon, running) == ""


def test_mac_filtering_alone_leaves_addresses_alone(
    daemon: Daemon, module_lxc: Lxc, image: str, victim: str, name: str
) -> None:
    module_lxc("init", image, name).ok()
    module_lxc("config", "device", "override", name, "eth0", "security.mac_filtering=true").ok()
    module_lxc("start", name).ok()
    own = Own(daemon, name)
    assert reaches(daemon, name, victim, FORGED["ipv4"](own))
    for what in ("hardware address", "arp for another's hardware address", "neighbour with another's hardware address"):
        assert not reaches(daemon, name, victim, FORGED[what](own)), what


def test_an_instance_of_the_same_name_in_another_daemon_has_rules_of_its_own(
    daemon: Daemon, other: Daemon, lxc: Lxc, running: str, tmp_path: Path
) -> None:
    options = ["security.mac_filtering=true", "limits.egress=8Mbit"]
    lxc("config", "device", "override", running, "eth0", *options).ok()
    nic = f"{running}.eth0"

    def rules(server: Daemon) -> list[str]:
        return [chains.listed(server, family, kind, nic) for family, kind in (("bridge", "pre"), ("netdev", "egress"))]

    ours = rules(daemon)
    assert all(ours)
    theirs = Lxc(lxc.program, {"LXD_DIR": str(other.state)}, home(tmp_path / "home"))
    image = theirs.import_image(images.unified(tmp_path / "image.tar.gz"), alias=f"{running}-box")
    theirs("init", image, running).ok()
    theirs("config", "device", "override", running, "eth0", *options).ok()
    theirs("start", running).ok()
    assert all(rules(other))
    assert rules(daemon) == ours
    theirs("delete", "--force", running).ok()
    assert (rules(other), rules(daemon)) == (["", ""], ours)
    theirs("image", "delete", image).ok()
