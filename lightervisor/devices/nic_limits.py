"""Bandwidth limits of a nic, set on its host end with tc. Source: tc-htb(8), tc-police(8); LXD, limits.*."""

import contextlib
from collections.abc import Mapping

from lightervisor.config import sizes
from lightervisor.errors import HostError
from lightervisor.kernel import process


def commands(host_name: str, ingress_bits: int, egress_bits: int) -> list[list[str]]:
    """What tc is told, in order; 0 is no limit. Ingress is what the guest receives. Pure."""
    told: list[list[str]] = []
    match_all = ["protocol", "all", "u32", "match", "u32", "0", "0"]
    if ingress_bits:
        told.append(["qdisc", "add", "dev", host_name, "root", "handle", "1:0", "htb", "default", "10"])
        rate = f"{ingress_bits}bit"
        told.append(["class", "add", "dev", host_name, "parent", "1:0", "classid", "1:10", "htb", "rate", rate])
        told.append(["filter", "add", "dev", host_name, "parent", "1:0", *match_all, "flowid", "1:1"])
    if egress_bits:
        told.append(["qdisc", "add", "dev", host_name, "handle", "ffff:0", "ingress"])
        burst = str(max(egress_bits // 80, 16384))  # 100 ms, in bytes
        police = ["police", "rate", f"{egress_bits}bit", "burst", burst, "mtu", "64kb", "drop"]
        told.append(["filter", "add", "dev", host_name, "parent", "ffff:0", *match_all, *police])
    return told


def apply(host_name: str, options: Mapping[str, str]) -> None:
    """Make the host end have exactly the limits of these options. Raises HostError saying what the kernel lacks."""
    both = options.get("limits.max", "")
    ingress = sizes.parse_bits(both or options.get("limits.ingress") or "0")
    egress = sizes.parse_bits(both or options.get("limits.egress") or "0")
    for kind in ("root", "ingress"):
        with contextlib.suppress(HostError):  # there may be none yet
            process.run(["tc", "qdisc", "del", "dev", host_name, kind])
    for command in commands(host_name, ingress, egress):
        try:
            process.run(["tc", *command])
        except HostError as error:
            cause = f"limit of {host_name} cannot be set: {error.cause}"
            raise HostError("network limit", cause=cause, remedy="the kernel needs sch_htb and act_police") from error
