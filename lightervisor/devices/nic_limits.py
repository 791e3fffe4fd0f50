"""Bandwidth limits of a nic, set on its host end: tc shapes what the guest receives, nftables drops what it sends
too quickly and gives it a priority.

Sources: tc-htb(8); nft(8), family netdev, limit; LXD, limits.*.
"""

import contextlib
from collections.abc import Mapping

from lightervisor.config import sizes
from lightervisor.errors import HostError
from lightervisor.firewall import nft, nic_rules
from lightervisor.kernel import process


def commands(host_name: str, ingress_bits: int) -> list[list[str]]:
    """What tc is told, in order; 0 is no limit. Ingress is what the guest receives. Pure."""
    if not ingress_bits:
        return []
    match_all = ["protocol", "all", "u32", "match", "u32", "0", "0"]
    rate = f"{ingress_bits}bit"
    return [
        ["qdisc", "add", "dev", host_name, "root", "handle", "1:0", "htb", "default", "10"],
        ["class", "add", "dev", host_name, "parent", "1:0", "classid", "1:10", "htb", "rate", rate],
        ["filter", "add", "dev", host_name, "parent", "1:0", *match_all, "flowid", "1:1"],
    ]


def apply(label: str, host_name: str, options: Mapping[str, str]) -> None:
    """Make the host end have exactly the limits of these options. Raises HostError saying what the kernel lacks."""
    both = options.get("limits.max", "")
    ingress = sizes.parse_bits(both or options.get("limits.ingress") or "0")
    egress = sizes.parse_bits(both or options.get("limits.egress") or "0")
    with contextlib.suppress(HostError):  # there may be none yet
        process.run(["tc", "qdisc", "del", "dev", host_name, "root"])
    for command in commands(host_name, ingress):
        try:
            process.run(["tc", *command])
        except HostError as error:
            cause = f"limit of {host_name} cannot be set: {error.cause}"
            raise HostError("network limit", cause=cause, remedy="the kernel needs sch_htb and cls_u32") from error
    priority = options.get("limits.priority", "")
    wanted = nic_rules.outgoing(
        label, host_name, bytes_a_second=egress // 8, priority=int(priority) if priority else None
    )
    if egress or priority:
        nft.replace(wanted)
    else:
        nft.remove(wanted)


def remove(label: str, host_name: str) -> None:
    """Forget the limits of a nic that ends; what tc was told ends with the interface."""
    nft.remove(nic_rules.outgoing(label, host_name))
