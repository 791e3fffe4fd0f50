"""The nftables rules of a network: chains `fwd.NAME`, `pstrt.NAME`, `in.NAME`, `out.NAME`, LXD's names."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from lightervisor.firewall.nft import Chain, Json, Ruleset, field, interface, match, verdict

# Errors and neighbours are let through to and from the bridge even when the host drops the rest. As LXD.
ICMP_IN, ICMP_OUT = (3, 11, 12), (3, 11, 12)
ICMPV6_IN, ICMPV6_OUT = (1, 2, 3, 4, 133, 135, 136, 143), (1, 2, 3, 4, 128, 134, 135, 136, 143)


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a network wants for one version of IP. `nat` is off without a subnet."""

    version: int
    subnet: IPv4Network | IPv6Network | None = None
    firewall: bool = True
    routing: bool = True
    dhcp: bool = False
    nat: bool = False
    nat_address: str = ""


def ruleset(network: str, families: Iterable[Family] = ()) -> Ruleset:
    """The rules of a network; without families every chain is empty, and replacing with it removes them."""
    present = [family for family in families if family.subnet is not None]
    guarded = [family for family in present if family.firewall]
    forward = tuple(rule for family in guarded for rule in _forward(network, family))
    nat = tuple(_nat(family) for family in present if family.nat)
    return Ruleset(
        owner=f"network {network}",
        chains=(
            Chain(name=f"fwd.{network}", type="filter", hook="forward", priority=0, rules=forward),
            Chain(name=f"pstrt.{network}", type="nat", hook="postrouting", priority=100, rules=nat),
            Chain(name=f"in.{network}", type="filter", hook="input", priority=0, rules=_input(network, guarded)),
            Chain(name=f"out.{network}", type="filter", hook="output", priority=0, rules=_output(network, guarded)),
        ),
    )


def _forward(network: str, family: Family) -> Iterable[tuple[Json, ...]]:
    version = match({"meta": {"key": "nfproto"}}, f"ipv{family.version}")
    outcome = verdict("accept" if family.routing else "reject")
    for direction in ("oifname", "iifname"):
        yield version, interface(direction, network), outcome


def _nat(family: Family) -> tuple[Json, ...]:
    if family.subnet is None:  # never: the caller filters; said for the type checker
        return ()
    protocol = "ip" if family.version == 4 else "ip6"
    prefix: Json = {"prefix": {"addr": str(family.subnet.network_address), "len": family.subnet.prefixlen}}
    snat: Json = {"snat": {"family": protocol, "addr": family.nat_address}}
    target = snat if family.nat_address else verdict("masquerade")
    return field(protocol, "saddr", prefix), field(protocol, "daddr", prefix, "!="), target


def _input(network: str, families: Iterable[Family]) -> tuple[tuple[Json, ...], ...]:
    rules: list[tuple[Json, ...]] = []
    bridge, accept = interface("iifname", network), verdict("accept")
    for family in families:
        icmp, types, port = ("icmp", ICMP_IN, 67) if family.version == 4 else ("icmpv6", ICMPV6_IN, 547)
        rules.append((bridge, field(icmp, "type", {"set": list(types)}), accept))
        if family.dhcp:
            rules.append((bridge, field("udp", "dport", port), accept))
    if rules:
        rules = [(bridge, field(protocol, "dport", 53), accept) for protocol in ("tcp", "udp")] + rules
    return tuple(rules)


def _output(network: str, families: Iterable[Family]) -> tuple[tuple[Json, ...], ...]:
    rules: list[tuple[Json, ...]] = []
    bridge, accept = interface("oifname", network), verdict("accept")
    for family in families:
        icmp, types, port = ("icmp", ICMP_OUT, 67) if family.version == 4 else ("icmpv6", ICMPV6_OUT, 547)
        rules.append((bridge, field(icmp, "type", {"set": list(types)}), accept))
        if family.dhcp:
            rules.append((bridge, field("udp", "sport", port), accept))
    if rules:
        rules = [(bridge, field(protocol, "sport", 53), accept) for protocol in ("tcp", "udp")] + rules
    return tuple(rules)
