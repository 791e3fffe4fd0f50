"""The options that nics can have, each told once; a type of nic takes those it knows. Source: LXD, device type nic."""

import re
from collections.abc import Iterable

from lightervisor.config import sizes
from lightervisor.config.key import Key, key
from lightervisor.config.names import RESERVED_INTERFACES
from lightervisor.config.types import (
    Bool,
    Checked,
    MacAddress,
    Text,
    ValueType,
    address,
    any_of,
    integer,
    list_of,
    matching,
    one_of,
    refuse,
    subnet,
)

InterfaceName = matching(
    "interface name",
    rf"(?!(\.{{1,2}}|{'|'.join(RESERVED_INTERFACES)})$)[-_a-zA-Z0-9.]{{2,15}}",
    "Invalid interface name {value!r}",
)
MOST_VLANS = 4094


def _check_bits(value: str) -> None:
    sizes.parse_bits(value)


def _check_vlan(value: str) -> None:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise refuse(f'Invalid VLAN ID "{value}"')
    if int(value) > MOST_VLANS:
        raise refuse(f'Out of VLAN ID range (0-{MOST_VLANS}) "{value}"')


def _check_vlan_range(value: str) -> None:
    found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", value)
    if found is None:
        raise refuse(f"Invalid VLAN range input: {value}")
    if found[2] is None:
        _check_vlan(value)
    elif not int(found[1]) <= int(found[2]) <= MOST_VLANS:
        raise refuse(f"Invalid VLAN range boundary. start:{found[1]}, end:{found[2]}")


def _check_hwaddr(value: str) -> None:
    MacAddress.check(value)
    first = int(value[:2], 16)
    if first & 1 or not value.strip("0:"):
        raise refuse(f"Invalid MAC address {value!r}: must be that of one interface, its first byte even")


def _check_mtu(value: str) -> None:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise refuse(f'Invalid MTU "{value}"')
    if not 1280 <= int(value) <= 16384:
        raise refuse(f'Out of MTU range (1280-16384) "{value}"')


def _check_gateway(value: str) -> None:
    if value not in ("auto", "none"):
        raise refuse(f"Invalid gateway: {value}")


Bits = Checked("bits per second", _check_bits)
Vlan = Checked("VLAN", _check_vlan)
VlanRange = Checked("VLAN or range", _check_vlan_range)
HwAddr = Checked("MAC address", _check_hwaddr)
Mtu = Checked("MTU", _check_mtu)
Gateway = Checked("one of auto, none", _check_gateway)
Table = integer(1, 0xFFFFFFFF)

OPTIONS: dict[str, tuple[ValueType, str, str]] = {
    "name": (InterfaceName, "", "Name of the interface inside"),
    "host_name": (InterfaceName, "", "Name of the interface on the host"),
    "hwaddr": (HwAddr, "", "MAC address"),
    "mtu": (Mtu, "", "Largest packet"),
    "network": (Text, "", "Managed network to plug into"),
    "parent": (InterfaceName, "", "Interface of the host"),
    "vlan": (Vlan, "", "VLAN of the parent"),
    "gvrp": (Bool, "false", "Register the VLAN by GVRP"),
    "ipv4.routes": (list_of(subnet(4)), "", "Subnets that the host routes to this nic"),
    "ipv6.routes": (list_of(subnet(6)), "", "Subnets that the host routes to this nic"),
    "limits.ingress": (Bits, "", "Most bits per second to the instance"),
    "limits.egress": (Bits, "", "Most bits per second from the instance"),
    "limits.max": (Bits, "", "Both limits at once"),
    "limits.priority": (integer(0, 0xFFFF), "", "Priority of packets from the instance"),
    "queue.tx.length": (integer(0, 0xFFFFFF), "", "How many packets may wait to be sent"),
    "maas.subnet.ipv4": (Text, "", "MAAS subnet"),
    "maas.subnet.ipv6": (Text, "", "MAAS subnet"),
    "boot.priority": (integer(0, 0xFFFFFFFF), "", "Boot order, for virtual machines"),
}
COMMON = ("name", "hwaddr", "mtu", "boot.priority")
CABLE = (
    "host_name", "ipv4.routes", "ipv6.routes", "limits.ingress", "limits.egress", "limits.max", "limits.priority",
    "queue.tx.length",
)  # fmt: skip
MAAS = ("maas.subnet.ipv4", "maas.subnet.ipv6")
LIMITS = ("limits.ingress", "limits.egress", "limits.max", "limits.priority")
ROUTES = ("ipv4.routes", "ipv6.routes")
UPLINK = ("parent", "mtu", "vlan", "gvrp")
Row = tuple[str, ValueType, str, str]


def declare(scope: str, names: Iterable[str], *more: Row, live: Iterable[str] = ()) -> tuple[Key, ...]:
    """The keys of a type of nic: those of OPTIONS by name, and its own as (name, type, default, help)."""
    own: dict[str, Row] = {name: (name, *OPTIONS[name]) for name in names} | {row[0]: row for row in more}
    at_once = set(live)
    return tuple(
        key(name, kind, scope=scope, default=default, live=name in at_once, group="nic", help=text)
        for name, kind, default, text in own.values()
    )


def addresses(version: int) -> Row:
    """Several addresses of one version of IP, for routed and ipvlan."""
    return (f"ipv{version}.address", list_of(address(version)), "", "Addresses of the instance")


def bridged_address(version: int) -> Row:
    """One reserved address."""
    kind = any_of("address", one_of("none"), address(version))
    return (f"ipv{version}.address", kind, "", "Address that DHCP gives this nic")
