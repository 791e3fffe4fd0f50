"""How much a nic may receive and send, and the priority of what it sends, set on its host end.

tc shapes what the guest receives, nftables drops what it sends too quickly and gives it a priority.
Sources: tc-htb(8); nft(8), family netdev, limit; LXD, limits.* of nics and limits.network.priority of instances.
"""

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from lightervisor.config import sizes
from lightervisor.errors import HostError
from lightervisor.firewall import nft, nic_rules
from lightervisor.kernel import process

PRIORITY = "limits.network.priority"


class Limits(NamedTuple):
    """Bits per second to and from the guest, and the priority of what it sends; 0 is none."""

    ingress_bits: int = 0
    egress_bits: int = 0
    priority: int = 0

    @classmethod
    def of(cls, options: Mapping[str, str], config: Mapping[str, str]) -> "Limits":
        """Those that a nic's options and its instance's configuration ask for. `limits.max` is both ways."""
        both = options.get("limits.max", "")
        ingress, egress = (both or options.get(f"limits.{way}") or "0" for way in ("ingress", "egress"))
        priority = options.get("limits.priority") or config.get(PRIORITY) or "0"
        return cls(sizes.parse_bits(ingress), sizes.parse_bits(egress), int(priority))


def commands(host_name: str, before_bits: int, after_bits: int) -> list[str]:
    """What tc is told to go from one limit of what the guest receives to another. Pure."""
    if not after_bits:
        return [f"qdisc del dev {host_name} root"] if before_bits else []
    rate = f"classid 1:10 htb rate {after_bits}bit"
    if before_bits:
        return [f"class replace dev {host_name} parent 1: {rate}"]
    return [f"qdisc add dev {host_name} root handle 1: htb default 10", f"class add dev {host_name} parent 1: {rate}"]


def apply(label: str, host_name: str, wanted: Limits, before: Limits | None = None) -> None:
    """Make the host end of the nic called `label` have exactly these limits. Raises HostError.

    `before` are those it has; what has changed behind our back is made anew.
    """
    before = before or Limits()
    if wanted.ingress_bits != before.ingress_bits:
        _shape(host_name, before.ingress_bits, wanted.ingress_bits)
    if wanted[1:] != before[1:]:
        nft.replace(_rules(label, host_name, wanted))


def remove(label: str, host_name: str, had: Limits) -> None:
    """Forget the limits of a nic that ends; what tc was told ends with the interface."""
    if had.egress_bits or had.priority:
        nft.remove(_rules(label, host_name, Limits()))


def _rules(label: str, host_name: str, limits: Limits) -> nft.Ruleset:
    bytes_a_second = max(1, limits.egress_bits // 8) if limits.egress_bits else 0
    priority = limits.priority or None
    return nic_rules.outgoing(label, host_name, bytes_a_second=bytes_a_second, priority=priority)


def _shape(host_name: str, before_bits: int, after_bits: int) -> None:
    try:
        _tell(commands(host_name, before_bits, after_bits))
    except HostError:
        with contextlib.suppress(HostError):
            _tell([f"qdisc del dev {host_name} root"])
        try:
            _tell(commands(host_name, 0, after_bits))
        except HostError as error:
            cause = f"limit of {host_name} cannot be set: {error.cause}"
            raise HostError("network limit", cause=cause, remedy="the kernel needs sch_htb") from error


def _tell(lines: list[str]) -> None:
    if lines:
        process.run(["tc", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines).encode())
