"""The nftables rules of a proxy that is done by NAT: chains `prert.`, `out.` and `pstrt.`, LXD's names.

What comes for the address listened at goes to the instance, from others (prerouting) and from this host (output). An
instance that asks for the outer address reaches itself, as its packets then come from the host (postrouting).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from lightervisor.firewall.nft import Chain, Json, Rule, Ruleset, field, verdict

DSTNAT, SRCNAT = -100, 100
"""Priorities of the kernel's own NAT. Source: nft(8)."""


class Forward(NamedTuple):
    """One side's address and ports to the other's; as many ports on both sides, or one to go to."""

    protocol: str
    listen: str
    ports: Sequence[int]
    target: str
    target_ports: Sequence[int]


def ruleset(label: str, forward: Forward | None = None) -> Ruleset:
    """The rules of the device called `label`; without a forward every chain is empty."""
    redirect: tuple[Rule, ...] = ()
    back: tuple[Rule, ...] = ()
    if forward is not None:
        redirect, back = (_redirect(forward),), (_back(forward),)
    chains = (("prert", "prerouting", DSTNAT, redirect), ("out", "output", DSTNAT, redirect),
              ("pstrt", "postrouting", SRCNAT, back))  # fmt: skip
    return Ruleset(
        owner=f"device {label}",
        chains=tuple(
            Chain(name=f"{name}.{label}", type="nat", hook=hook, priority=priority, rules=rules)
            for name, hook, priority, rules in chains
        ),
    )


def _family(forward: Forward) -> str:
    return "ip6" if ":" in forward.listen else "ip"


def _redirect(forward: Forward) -> Rule:
    family = _family(forward)
    target: Json = {"family": family, "addr": forward.target}
    if len(forward.target_ports) == 1:
        target["port"] = forward.target_ports[0]
    elif list(forward.target_ports) != list(forward.ports):
        pairs = [list(pair) for pair in zip(forward.ports, forward.target_ports, strict=True)]
        key: Json = {"payload": {"protocol": forward.protocol, "field": "dport"}}
        target["port"] = {"map": {"key": key, "data": {"set": pairs}}}
    ports = field(forward.protocol, "dport", _set(forward.ports))
    return field(family, "daddr", forward.listen), ports, {"dnat": target}


def _back(forward: Forward) -> Rule:
    family = _family(forward)
    ports = field(forward.protocol, "dport", _set(forward.target_ports))
    return field(family, "saddr", forward.target), field(family, "daddr", forward.target), ports, verdict("masquerade")


def _set(ports: Sequence[int]) -> Json:
    """The ports as ranges, of which nft needs one where there are thousands of ports."""
    wanted = sorted(ports)
    ends = [0, *(index for index, (one, next_) in enumerate(pairwise(wanted), 1) if next_ != one + 1), len(wanted)]
    ranges = [(wanted[start], wanted[end - 1]) for start, end in pairwise(ends)]
    return {"set": [first if first == last else {"range": [first, last]} for first, last in ranges]}
