"""The list of leases: the gateway, reserved addresses, and what was given out. Source: LXD, network leases."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, ip_interface

from lightervisor.config.types import is_true
from lightervisor.model.network import NetworkLease
from lightervisor.networks.users import Nic


def merged(nics: Iterable[Nic], found: Sequence[NetworkLease], config: Mapping[str, str]) -> list[NetworkLease]:
    """Gateway first, then reserved addresses and the addresses guests make themselves (SLAAC), then dynamic ones.

    A dynamic lease of a reserved address is shown once, as static.
    """
    gateway = [lease for lease in found if lease.type == "gateway"]
    static: list[NetworkLease] = []
    derived: list[NetworkLease] = []
    prefix = _slaac_prefix(config)
    for nic in nics:
        for address in (nic.ipv4, nic.ipv6):
            if address:
                static.append(_lease(nic, address, "static"))
        if prefix and nic.hwaddr and not nic.ipv6:
            derived.append(_lease(nic, eui64(prefix, nic.hwaddr), "dynamic"))
    known = {(lease.hwaddr.lower(), lease.address) for lease in [*static, *derived]}
    dynamic = [
        lease for lease in found if lease.type == "dynamic" and (lease.hwaddr.lower(), lease.address) not in known
    ]
    return [*gateway, *static, *derived, *dynamic]


def eui64(prefix: str, hwaddr: str) -> str:
    """The address a guest makes of a /64 and its MAC address. Source: RFC 4291, appendix A."""
    raw = bytes.fromhex(hwaddr.replace(":", ""))
    host = bytes([raw[0] ^ 2, *raw[1:3], 0xFF, 0xFE, *raw[3:6]])
    return str(IPv6Address(IPv6Address(prefix).packed[:8] + host))


def _lease(nic: Nic, address: str, kind: str) -> NetworkLease:
    return NetworkLease(hostname=nic.instance, hwaddr=nic.hwaddr, address=address, type=kind)


def _slaac_prefix(config: Mapping[str, str]) -> str:
    value = config.get("ipv6.address", "")
    if "/" not in value or not is_true(config.get("ipv6.dhcp") or "true") or is_true(config.get("ipv6.dhcp.stateful")):
        return ""
    network = ip_interface(value).network
    return str(network.network_address) if network.prefixlen == 64 else ""
