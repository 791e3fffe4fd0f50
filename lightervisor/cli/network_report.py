"""What `lxc network info` prints: an interface's addresses, counters, and what its type adds."""

from __future__ import annotations

from lightervisor.cli import units
from lightervisor.client.light_json import as_list, as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Sections of one type of interface: its field in the answer, the title, and the title of each line by its field.
_SECTIONS = {
    "bond": {
        "mode": "Mode",
        "transmit_policy": "Transmit policy",
        "up_delay": "Up delay",
        "down_delay": "Down delay",
        "mii_frequency": "MII Frequency",
        "mii_state": "MII state",
        "lower_devices": "Lower devices",
    },
    "bridge": {
        "id": "ID",
        "stp": "STP",
        "forward_delay": "Forward delay",
        "vlan_default": "Default VLAN ID",
        "vlan_filtering": "VLAN filtering",
        "upper_devices": "Upper devices",
    },
    "vlan": {"lower_device": "Lower device", "vid": "VLAN ID"},
    "ovn": {"chassis": "Chassis"},
}
_TITLES = {"bond": "Bond", "bridge": "Bridge", "vlan": "VLAN", "ovn": "OVN"}


def report(name: str, state: dict[str, Any]) -> str:
    """The report on one interface, from its state in the API."""
    lines = [f"Name: {name}"]
    for title, key in (("MAC address", "hwaddr"), ("MTU", "mtu"), ("State", "state"), ("Type", "type")):
        lines.append(f"{title}: {state.get(key, '')}")
    addresses = as_list(state.get("addresses"))
    if addresses:
        lines += ["", "IP addresses:", *(f"  {_address(address)}" for address in addresses)]
    counters = as_map(state.get("counters"))
    lines += [
        "",
        "Network usage:",
        f"  Bytes received: {units.decimal(int(counters.get('bytes_received', 0)))}",
        f"  Bytes sent: {units.decimal(int(counters.get('bytes_sent', 0)))}",
        f"  Packets received: {counters.get('packets_received', 0)}",
        f"  Packets sent: {counters.get('packets_sent', 0)}",
    ]
    for kind, titles in _SECTIONS.items():
        if state.get(kind):
            lines += ["", f"{_TITLES[kind]}:"]
            lines += [f"  {title}: {_text(state[kind].get(field))}" for field, title in titles.items()]
    return "\n".join(lines) + "\n"


def _address(address: dict[str, Any]) -> str:
    return f"{address['family']}\t{address['address']}/{address['netmask']} ({address['scope']})"


def _text(value: Any) -> str:
    if value is None or isinstance(value, list):
        return ", ".join(as_list(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
