"""nftables rules of a network: data first, then one transaction.

Table and chains are named as LXD names them (table `inet lxd`; chains `fwd.NAME`, `pstrt.NAME`, `in.NAME`,
`out.NAME`), so that tools which know LXD's find ours. The table is shared with others and never removed.
Source: nft(8), libnftables-json(5).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import msgspec

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import process

TABLE = "lxd"
Json = dict[str, object]
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


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One base chain: where it hangs and its rules, each a list of nft expressions."""

    name: str
    type: str
    hook: str
    priority: int
    rules: tuple[tuple[Json, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ruleset:
    """All chains a network can have; those without rules are not on the host."""

    network: str
    chains: tuple[Chain, ...]


def ruleset(network: str, families: Iterable[Family] = ()) -> Ruleset:
    """The rules of a network; without families every chain is empty, and replacing with it removes them."""
    present = [family for family in families if family.subnet is not None]
    guarded = [family for family in present if family.firewall]
    forward = tuple(rule for family in guarded for rule in _forward(network, family))
    nat = tuple(_nat(family) for family in present if family.nat)
    return Ruleset(
        network=network,
        chains=(
            Chain(name=f"fwd.{network}", type="filter", hook="forward", priority=0, rules=forward),
            Chain(name=f"pstrt.{network}", type="nat", hook="postrouting", priority=100, rules=nat),
            Chain(name=f"in.{network}", type="filter", hook="input", priority=0, rules=_input(network, guarded)),
            Chain(name=f"out.{network}", type="filter", hook="output", priority=0, rules=_output(network, guarded)),
        ),
    )


def replace(rules: Ruleset) -> None:
    """Make the host have exactly these rules for the network, in one transaction.

    Raises HostError with what nft said; then the host is as it was.
    """
    try:
        process.run(["nft", "-j", "-f", "-"], stdin=transaction(rules), timeout_s=30)
    except HostError as error:
        raise HostError(
            "firewall", f"of network {rules.network}", cause=f"nft: {error.cause}", remedy=error.remedy
        ) from error


def transaction(rules: Ruleset) -> bytes:
    """The serializer: what `nft -j -f -` reads. Raises Invalid for control characters."""
    if not rules.network.isprintable() or not rules.network:
        raise Invalid("network name", rules.network, cause="control characters are not allowed")
    commands: list[Json] = [_add("table", {"family": "inet", "name": TABLE})]
    for chain in rules.chains:
        place = {"family": "inet", "table": TABLE, "name": chain.name}
        base = {"type": chain.type, "hook": chain.hook, "prio": chain.priority, "policy": "accept"}
        commands.append(_add("chain", {**place, **base}))  # so that the next command finds it
        if not chain.rules:
            commands.append({"delete": {"chain": place}})
            continue
        commands.append({"flush": {"chain": place}})
        for rule in chain.rules:
            commands.append(_add("rule", {"family": "inet", "table": TABLE, "chain": chain.name, "expr": list(rule)}))
    return msgspec.json.encode({"nftables": commands})


def _add(kind: str, value: Json) -> Json:
    return {"add": {kind: value}}


def _match(left: Json, right: object, operator: str = "==") -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _interface(direction: str, network: str) -> Json:
    return _match({"meta": {"key": direction}}, network)


def _field(protocol: str, field: str, right: object, operator: str = "==") -> Json:
    return _match({"payload": {"protocol": protocol, "field": field}}, right, operator)


def _verdict(word: str) -> Json:
    return {word: None}


def _statement(word: str, value: object) -> Json:
    return {word: value}


def _forward(network: str, family: Family) -> Iterable[tuple[Json, ...]]:
    version = _match({"meta": {"key": "nfproto"}}, f"ipv{family.version}")
    verdict = _verdict("accept" if family.routing else "reject")
    for direction in ("oifname", "iifname"):
        yield version, _interface(direction, network), verdict


def _nat(family: Family) -> tuple[Json, ...]:
    if family.subnet is None:  # never: the caller filters; said for the type checker
        return ()
    protocol = "ip" if family.version == 4 else "ip6"
    prefix: Json = {"prefix": {"addr": str(family.subnet.network_address), "len": family.subnet.prefixlen}}
    snat = _statement("snat", {"family": protocol, "addr": family.nat_address})
    target = snat if family.nat_address else _statement("masquerade", None)
    return _field(protocol, "saddr", prefix), _field(protocol, "daddr", prefix, "!="), target


def _input(network: str, families: Iterable[Family]) -> tuple[tuple[Json, ...], ...]:
    rules: list[tuple[Json, ...]] = []
    bridge, accept = _interface("iifname", network), _verdict("accept")
    for family in families:
        icmp, types, port = ("icmp", ICMP_IN, 67) if family.version == 4 else ("icmpv6", ICMPV6_IN, 547)
        rules.append((bridge, _field(icmp, "type", {"set": list(types)}), accept))
        if family.dhcp:
            rules.append((bridge, _field("udp", "dport", port), accept))
    if rules:
        rules = [(bridge, _field(protocol, "dport", 53), accept) for protocol in ("tcp", "udp")] + rules
    return tuple(rules)


def _output(network: str, families: Iterable[Family]) -> tuple[tuple[Json, ...], ...]:
    rules: list[tuple[Json, ...]] = []
    bridge, accept = _interface("oifname", network), _verdict("accept")
    for family in families:
        icmp, types, port = ("icmp", ICMP_OUT, 67) if family.version == 4 else ("icmpv6", ICMPV6_OUT, 547)
        rules.append((bridge, _field(icmp, "type", {"set": list(types)}), accept))
        if family.dhcp:
            rules.append((bridge, _field("udp", "sport", port), accept))
    if rules:
        rules = [(bridge, _field(protocol, "sport", 53), accept) for protocol in ("tcp", "udp")] + rules
    return tuple(rules)
