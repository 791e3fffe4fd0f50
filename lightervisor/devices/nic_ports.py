"""Ports of bridges: VLANs and hairpins. Source: the kernel's documentation of bridges; bridge(8)."""

import contextlib
from pathlib import Path

from lightervisor.errors import HostError, Invalid, Unsupported

NET = Path("/sys/class/net")
MOST_VLANS = 4094


def reflect(host_name: str) -> None:
    """Send packets back to the port they came from: by NAT on this host an instance reaches itself.

    Nothing happens for what is no port of a bridge, or not there yet: then it is done when it comes.
    """
    with contextlib.suppress(OSError):
        (NET / host_name / "brport/hairpin_mode").write_text("1")


def numbers(value: str) -> list[int]:
    """The VLANs in "5,7-9"."""
    found: list[int] = []
    for part in value.split(","):
        if part.strip():
            first, _, last = part.strip().partition("-")
            found += range(int(first), min(int(last or first), MOST_VLANS) + 1)
    return found


def check_vlans(bridge: str, *, is_managed: bool) -> None:
    """Raise where a bridge cannot tell VLANs apart: by the kernel, or as nobody switched it on who may."""
    if not (NET / bridge / "bridge").exists():
        return  # not there yet: told at the start
    switch = NET / bridge / "bridge/vlan_filtering"
    if not switch.exists():
        cause = "this kernel's bridges cannot tell VLANs apart (CONFIG_BRIDGE_VLAN_FILTERING)"
        raise Unsupported(
            "option", "vlan", cause=cause, remedy="use a kernel that has it, as distributions' kernels do"
        )
    if not is_managed and switch.read_text().strip() == "0":
        text = f'VLAN filtering is not enabled in parent bridge "{bridge}"'
        raise Invalid("bridge", bridge, text=text, remedy=f"ip link set {bridge} type bridge vlan_filtering 1")


def enable_vlans(bridge: str) -> None:
    """Have a bridge tell VLANs apart; every port is in VLAN 1, untagged, until told otherwise. Raises HostError."""
    switch = NET / bridge / "bridge/vlan_filtering"
    try:
        if switch.read_text().strip() == "0":
            switch.write_text("1")
    except OSError as error:
        raise HostError("bridge", bridge, cause=f"VLAN filtering: {error.strerror}") from error
