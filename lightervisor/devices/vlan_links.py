"""Interfaces of the host for a VLAN of another one, named "eth0.5" as everybody does. Source: LXD, option vlan."""

from collections.abc import Mapping
from pathlib import Path

from lightervisor.config.types import is_true
from lightervisor.errors import HostError, Unsupported
from lightervisor.kernel.netlink import Netlink

LONGEST = 15


def name(parent: str, vlan: str) -> str:
    """The interface for a VLAN of a parent; the parent itself without one."""
    return f"{parent}.{vlan}" if parent and vlan and vlan != "0" else parent


def ensure(options: Mapping[str, str], wanted: str) -> bool:
    """Have the interface for the options `parent` and `vlan`; true when it was made here. Raises HostError."""
    parent = options.get("parent", "")
    if wanted == parent:
        return False
    if len(wanted) > LONGEST:
        cause = f"the name {wanted} of its VLAN would be longer than {LONGEST} characters"
        raise HostError("network interface", parent, cause=cause, remedy="give the parent a shorter name")
    with Netlink() as host:
        if host.link(wanted) is not None:
            return False
        try:
            host.create_vlan(wanted, parent, int(options["vlan"]), gvrp=is_true(options.get("gvrp")))
        except HostError as error:
            raise _explained(error) from error
        host.set(parent, up=True)
        host.set(wanted, up=True)
    (Path("/proc/sys/net/ipv6/conf") / wanted / "disable_ipv6").write_text("1")
    return True


def _explained(error: HostError) -> HostError | Unsupported:
    if "Operation not supported" in error.cause or "Unknown device type" in error.cause or not _has_vlans():
        cause = "this kernel has no VLANs (CONFIG_VLAN_8021Q)"
        return Unsupported("option", "vlan", cause=cause, remedy="modprobe 8021q, or a kernel that has it")
    return error


def _has_vlans() -> bool:
    return Path("/proc/net/vlan").exists()


def remove(wanted: str) -> None:
    """Remove an interface that `ensure` made, unless something else hangs on it; nothing happens when it is gone."""
    with Netlink() as host:
        link = host.link(wanted)
        if link is None or link.kind != "vlan":
            return
        if any(other.peer == link.index and not other.peer_elsewhere for other in host.links()):
            return
        host.delete(wanted)
