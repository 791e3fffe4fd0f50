"""nftables rules: data first, then one transaction.

Table and chains are named as LXD names them (tables `inet lxd`, `bridge lxd`, ...), so that tools which know LXD's find
ours. The tables are shared with others and never removed. Source: nft(8), libnftables-json(5).
"""

import contextlib
from dataclasses import dataclass

import msgspec

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import process

TABLE = "lxd"
Json = dict[str, object]
Rule = tuple[Json, ...]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One base chain: where it hangs and its rules, each a list of nft expressions. `device` is for family netdev."""

    name: str
    type: str
    hook: str
    priority: int
    rules: tuple[Rule, ...] = ()
    family: str = "inet"
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class Ruleset:
    """All chains that an owner ("network lxdbr0") can have; those without rules are not on the host."""

    owner: str
    chains: tuple[Chain, ...]


def replace(rules: Ruleset) -> None:
    """Make the host have exactly these rules for the owner, in one transaction.

    Raises HostError with what nft said; then the host is as it was.
    """
    try:
        process.run(["nft", "-j", "-f", "-"], stdin=transaction(rules), timeout_s=30)
    except HostError as error:
        raise HostError("firewall", f"of {rules.owner}", cause=f"nft: {error.cause}", remedy=error.remedy) from error


def remove(rules: Ruleset) -> None:
    """Have none of these chains on the host; without a working nft there can be none."""
    with contextlib.suppress(HostError):
        listing = process.run(["nft", "-j", "list", "chains"], timeout_s=30)
        entries = msgspec.json.decode(listing, type=dict[str, list[dict[str, dict[str, object]]]])["nftables"]
        present = {(one["chain"]["family"], one["chain"]["name"]) for one in entries if "chain" in one}
        places = [_place(chain) for chain in rules.chains if (chain.family, chain.name) in present]
        if places:
            commands = [{"delete": {"chain": place}} for place in places]
            process.run(["nft", "-j", "-f", "-"], stdin=msgspec.json.encode({"nftables": commands}), timeout_s=30)


def transaction(rules: Ruleset) -> bytes:
    """The serializer: what `nft -j -f -` reads. Raises Invalid for control characters."""
    if not rules.owner.isprintable() or not all(chain.name.isprintable() for chain in rules.chains):
        raise Invalid("firewall", f"of {rules.owner}", cause="control characters are not allowed in a name")
    commands: list[Json] = [
        _add("table", {"family": family, "name": TABLE}) for family in sorted({chain.family for chain in rules.chains})
    ]
    for chain in rules.chains:
        place = _place(chain)
        base: Json = {"type": chain.type, "hook": chain.hook, "prio": chain.priority, "policy": "accept"}
        if chain.device:
            base["dev"] = chain.device
        commands.append(_add("chain", {**place, **base}))  # so that the next command finds it
        if not chain.rules:
            commands.append({"delete": {"chain": place}})
            continue
        commands.append({"flush": {"chain": place}})
        for rule in chain.rules:
            where: Json = {"family": chain.family, "table": TABLE, "chain": chain.name}
            commands.append(_add("rule", {**where, "expr": list(rule)}))
    return msgspec.json.encode({"nftables": commands})


def _place(chain: Chain) -> Json:
    return {"family": chain.family, "table": TABLE, "name": chain.name}


def _add(kind: str, value: Json) -> Json:
    return {"add": {kind: value}}


def match(left: Json, right: object, operator: str = "==") -> Json:
    """A comparison."""
    return {"match": {"op": operator, "left": left, "right": right}}


def interface(direction: str, name: str) -> Json:
    """Packets of an interface: direction is iifname or oifname."""
    return match({"meta": {"key": direction}}, name)


def field(protocol: str, name: str, right: object, operator: str = "==") -> Json:
    """A comparison of a header's field."""
    return match({"payload": {"protocol": protocol, "field": name}}, right, operator)


def verdict(word: str) -> Json:
    """What is done with the packet: accept, drop, reject, masquerade."""
    return {word: None}
