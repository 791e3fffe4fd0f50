"""The nftables rules of one nic: what its instance may send, and how quickly.

Filtering is a chain `pre.LABEL` of family bridge at the head of prerouting, so that it holds for the host and for other
ports alike, and before connection tracking. It knows the port by its name, which it may be given before the port is
there. What is not allowed is dropped: a forged sender must not get through by a header that nobody thought of.

Headers: `meta protocol` sees past a VLAN tag that the kernel has taken off, `ether type` would not; `@th` is behind
IPv6 extension headers, `@nh` would not be. Sources: nft(8); RFC 826, 2131, 4861, 6980, 8415.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses
from typing import TypeVar

from lightervisor.firewall.nft import Chain, Json, Rule, Ruleset, field, interface, match, verdict

FIRST = -350
"""Before connection tracking and NAT, the bridge's too (-300). Source: nft(8), standard priorities."""
DROP, ACCEPT = verdict("drop"), verdict("accept")
RA, NS, NA, REDIRECT = 134, 135, 136, 137
MLD = (131, 132, 143)
SOURCE_OPTION, TARGET_OPTION, NONCE_OPTION = 0x0101, 0x0201, 0x0E01
"""Type and length (in 8 bytes) of the options that neighbour discovery has. Source: RFC 4861, RFC 7527."""
BURST_BYTES = 1 << 16
"""The kernel hands on packets of TCP joined to so many bytes."""
Network = TypeVar("Network", IPv4Network, IPv6Network)


@dataclass(frozen=True, kw_only=True)
class Sender:
    """What a nic may send from. None as addresses is any; no addresses is that it may not use that version of IP."""

    host_name: str
    hwaddr: str
    ipv4: Sequence[IPv4Network] | None = None
    ipv6: Sequence[IPv6Network] | None = None


def filtering(label: str, sender: Sender | None = None) -> Ruleset:
    """The rules for what the nic called `label` may send; without a sender the chain is empty."""
    rules = tuple(_rules(sender)) if sender is not None else ()
    chain = Chain(name=f"pre.{label}", type="filter", hook="prerouting", priority=FIRST, rules=rules, family="bridge")
    return Ruleset(owner=f"device {label}", chains=(chain,))


def outgoing(label: str, host_name: str, *, bytes_a_second: int = 0, priority: int | None = None) -> Ruleset:
    """What is done to packets as they leave the instance: dropped above a rate (0 is none), given a priority."""
    rules: list[Rule] = []
    if bytes_a_second:
        burst = max(bytes_a_second // 10, BURST_BYTES)
        rate: Json = {"rate": bytes_a_second, "rate_unit": "bytes", "per": "second", "inv": True,
                      "burst": burst, "burst_unit": "bytes"}  # fmt: skip
        rules.append(({"limit": rate}, DROP))
    if priority is not None:
        rules.append(({"mangle": {"key": {"meta": {"key": "priority"}}, "value": priority}},))
    chain = Chain(
        name=f"egress.{label}", type="filter", hook="ingress", priority=0, rules=tuple(rules), family="netdev",
        device=host_name,
    )  # fmt: skip
    return Ruleset(owner=f"device {label}", chains=(chain,))


def reverse_path(label: str, host_name: str = "") -> Ruleset:
    """Drop what an instance sends from addresses that the host does not route to it; without a name nothing is."""
    back = match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False)
    rules: tuple[Rule, ...] = ((interface("iifname", host_name), back, DROP),) if host_name else ()
    chain = Chain(name=f"prert.{label}", type="filter", hook="prerouting", priority=FIRST, rules=rules)
    return Ruleset(owner=f"device {label}", chains=(chain,))


def link_local(hwaddr: str) -> IPv6Address:
    """The address that an interface gives itself from its hardware address. Source: RFC 4291, appendix A."""
    return IPv6Address(0xFE80 << 112 | _interface_id(hwaddr))


def by_hwaddr(network: IPv6Network, hwaddr: str) -> IPv6Address:
    """The address that an interface gives itself in a network of 64 bits. Source: RFC 4862."""
    return IPv6Address(int(network.network_address) | _interface_id(hwaddr))


def _interface_id(hwaddr: str) -> int:
    raw = bytes.fromhex(hwaddr.replace(":", ""))
    return int.from_bytes(bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:])


def _rules(sender: Sender) -> Iterator[Rule]:
    port = interface("iifname", sender.host_name)
    for rule in (*_frames(sender), *_ipv4(sender), *_ipv6(sender), *_rest(sender)):
        yield (port, *rule)


def _frames(sender: Sender) -> Iterator[Rule]:
    """The hardware address, wherever a packet names it; no frames of VLANs, in which all could be hidden."""
    number = int(sender.hwaddr.replace(":", ""), 16)
    yield field("ether", "saddr", sender.hwaddr, "!="), DROP
    yield field("ether", "type", {"set": ["8021q", "8021ad"]}), DROP
    arp = _protocol("arp")
    for name, value in (("htype", 1), ("ptype", 0x0800), ("hlen", 6), ("plen", 4)):
        yield arp, field("arp", name, value, "!="), DROP
    yield arp, field("arp", "saddr ether", sender.hwaddr, "!="), DROP
    # In neighbour discovery: no option, or one that is a nonce or names this address.
    for kind in (NS, NA):
        yield _icmpv6(kind), field("ip6", "length", 32, ">"), DROP
        for option in (SOURCE_OPTION, TARGET_OPTION):
            yield _icmpv6(kind), _raw(192, 16, option), _raw(208, 48, number, "!="), DROP
        others = {"set": [SOURCE_OPTION, TARGET_OPTION, NONCE_OPTION]}
        yield _icmpv6(kind), field("ip6", "length", 24, ">"), _raw(192, 16, others, "!="), DROP


def _ipv4(sender: Sender) -> Iterator[Rule]:
    if sender.ipv4 is None:
        return
    arp, ip = _protocol("arp"), _protocol("ip")
    if sender.ipv4:
        own = _addresses(sender.ipv4)
        yield arp, field("arp", "saddr ip", "0.0.0.0"), field("arp", "daddr ip", own), ACCEPT  # noqa: S104 - is it free?
        yield arp, field("arp", "saddr ip", own), ACCEPT
    yield arp, DROP
    if sender.ipv4:
        number = int(sender.hwaddr.replace(":", ""), 16)
        yield ip, field("udp", "sport", 67), DROP  # no server of DHCP
        yield ip, field("udp", "dport", 67), _raw(288, 48, number, "!="), DROP  # nor somebody else's request
        asks = (field("ip", "saddr", "0.0.0.0"), field("ip", "daddr", "255.255.255.255"))  # noqa: S104
        yield ip, *asks, field("udp", "sport", 68), field("udp", "dport", 67), ACCEPT
        yield ip, field("ip", "saddr", _addresses(sender.ipv4)), ACCEPT
    yield ip, DROP


def _ipv6(sender: Sender) -> Iterator[Rule]:
    if sender.ipv6 is None:
        return
    ip6 = _protocol("ip6")
    if sender.ipv6:
        allowed = [IPv6Network(link_local(sender.hwaddr)), *sender.ipv6]
        own, targets = _addresses(allowed), {"set": [_target(one) for one in collapse_addresses(allowed)]}
        yield ip6, _icmpv6({"set": [RA, REDIRECT]}), DROP
        yield ip6, field("udp", "sport", 547), DROP  # no server of DHCP
        yield _icmpv6(NA), _raw(64, 128, targets, "!="), DROP
        nobody = field("ip6", "saddr", "::")
        yield nobody, _icmpv6(NS), _raw(64, 128, targets), ACCEPT  # is it free?
        yield nobody, _icmpv6({"set": list(MLD)}), ACCEPT
        yield ip6, field("ip6", "saddr", own), ACCEPT
    yield ip6, DROP


def _rest(sender: Sender) -> Iterator[Rule]:
    if sender.ipv4 is not None or sender.ipv6 is not None:
        # What is neither of these: not filtered would mean anything.
        yield match({"meta": {"key": "protocol"}}, {"set": ["arp", "ip", "ip6"]}, "!="), DROP


def _protocol(name: str) -> Json:
    return match({"meta": {"key": "protocol"}}, name)


def _icmpv6(kind: object) -> Json:
    return match({"payload": {"protocol": "icmpv6", "field": "type"}}, kind)


def _raw(offset: int, length: int, value: object, operator: str = "==") -> Json:
    """Bits behind the beginning of the transport header."""
    return match({"payload": {"base": "th", "offset": offset, "len": length}}, value, operator)


def _addresses(networks: Sequence[Network]) -> Json:
    # nft refuses sets in which one is part of another.
    return {"set": [_address(one) for one in collapse_addresses(networks)]}


def _address(network: IPv4Network | IPv6Network) -> object:
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def _target(network: IPv6Network) -> object:
    # As text: nft -j takes numbers of 63 bits, and says nothing about greater ones.
    first, last = f"{int(network.network_address):#x}", f"{int(network.broadcast_address):#x}"
    return first if network.prefixlen == 128 else {"range": [first, last]}
