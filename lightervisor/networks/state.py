"""What the kernel says about links, as LXD's wire structs: for networks and for the nics of instances."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from socket import if_indextoname

from lightervisor.kernel.netlink import NamespaceLinks
from lightervisor.kernel.rtnetlink import Address, Link
from lightervisor.model.instance_state import (
    InstanceStateNetwork,
    InstanceStateNetworkAddress,
    InstanceStateNetworkCounters,
)
from lightervisor.model.network import (
    Network,
    NetworkState,
    NetworkStateAddress,
    NetworkStateBond,
    NetworkStateBridge,
    NetworkStateCounters,
    NetworkStateVLAN,
)

SYS = Path("/sys/class/net")


def instance_networks(links: NamespaceLinks) -> dict[str, InstanceStateNetwork]:
    """The network part of an instance's state, by interface name."""
    return {link.name: _instance_network(link, addresses) for link, addresses in links.list()}


def _instance_network(link: Link, addresses: Sequence[Address]) -> InstanceStateNetwork:
    count = link.counters
    return InstanceStateNetwork(
        addresses=[
            InstanceStateNetworkAddress(
                family=one.family, address=one.address, netmask=str(one.prefix), scope=one.scope
            )
            for one in addresses
        ],
        counters=InstanceStateNetworkCounters(
            bytes_received=count.rx_bytes,
            bytes_sent=count.tx_bytes,
            packets_received=count.rx_packets,
            packets_sent=count.tx_packets,
            errors_received=count.rx_errors,
            errors_sent=count.tx_errors,
            packets_dropped_outbound=count.tx_dropped,
            packets_dropped_inbound=count.rx_dropped,
        ),
        hwaddr=link.hwaddr,
        host_name=_host_end(link),
        mtu=link.mtu,
        state="up" if link.is_up else "down",
        type=link.type,
    )


def _host_end(link: Link) -> str:
    """The host's name of a veth's other end; a cable between two guests' namespaces has none."""
    if link.kind == "veth" and link.peer_elsewhere:
        with contextlib.suppress(OSError):
            name = if_indextoname(link.peer)
            if (SYS / name / "iflink").read_text().strip() == str(link.index):
                return name
    return ""


def network_state(link: Link, addresses: Sequence[Address]) -> NetworkState:
    """The state of a host interface, with what is special to bridges, bonds and vlans."""
    kind = interface_type(link)
    return NetworkState(
        addresses=[
            NetworkStateAddress(family=one.family, address=one.address, netmask=str(one.prefix), scope=one.scope)
            for one in addresses
        ],
        counters=NetworkStateCounters(
            bytes_received=link.counters.rx_bytes,
            bytes_sent=link.counters.tx_bytes,
            packets_received=link.counters.rx_packets,
            packets_sent=link.counters.tx_packets,
        ),
        hwaddr=link.hwaddr,
        mtu=link.mtu,
        state="up" if link.is_up else "down",
        type=link.type,
        bridge=_bridge(link.name) if kind == "bridge" else None,
        bond=_bond(link.name) if kind == "bond" else None,
        vlan=_vlan(link) if kind == "vlan" else None,
    )


def interface_type(link: Link) -> str:
    """LXD's word for an interface we do not manage."""
    if link.type == "loopback":
        return "loopback"
    if link.kind in ("bridge", "vlan", "bond"):
        return link.kind
    return "physical" if (SYS / link.name / "device").exists() else "unknown"


def unmanaged(link: Link, users: Sequence[str]) -> Network:
    """A host interface as LXD lists it among the networks."""
    return Network(name=link.name, type=interface_type(link), managed=False, used_by=list(users))


def _text(*path: str) -> str:
    try:
        return SYS.joinpath(*path).read_text().strip()
    except OSError:
        return ""


def _number(*path: str) -> int:
    text = _text(*path)
    return int(text) if text.isdecimal() else 0


def _bridge(name: str) -> NetworkStateBridge:
    ports = SYS / name / "brif"
    return NetworkStateBridge(
        id=_text(name, "bridge", "bridge_id"),
        stp=_text(name, "bridge", "stp_state") == "1",
        forward_delay=_number(name, "bridge", "forward_delay"),
        vlan_default=_number(name, "bridge", "default_pvid"),
        vlan_filtering=_text(name, "bridge", "vlan_filtering") == "1",
        upper_devices=sorted(port.name for port in ports.iterdir()) if ports.is_dir() else [],
    )


def _bond(name: str) -> NetworkStateBond:
    return NetworkStateBond(
        mode=_text(name, "bonding", "mode").partition(" ")[0],
        transmit_policy=_text(name, "bonding", "xmit_hash_policy").partition(" ")[0],
        up_delay=_number(name, "bonding", "updelay"),
        down_delay=_number(name, "bonding", "downdelay"),
        mii_frequency=_number(name, "bonding", "miimon"),
        mii_state=_text(name, "bonding", "mii_status"),
        lower_devices=_text(name, "bonding", "slaves").split(),
    )


def _vlan(link: Link) -> NetworkStateVLAN:
    lower = ""
    with contextlib.suppress(OSError):
        lower = if_indextoname(link.peer)
    return NetworkStateVLAN(lower_device=lower, vid=link.vlan)
