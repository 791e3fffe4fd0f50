"""Wire structs of network. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import Struct, field


class NetworkPut(Struct, frozen=True, kw_only=True):
    """LXD's NetworkPut."""

    config: dict[str, str] = {}
    description: str = ""


class NetworksPost(NetworkPut, frozen=True, kw_only=True):
    """LXD's NetworksPost."""

    name: str = ""
    type: str = ""


class NetworkPost(Struct, frozen=True, kw_only=True):
    """LXD's NetworkPost."""

    name: str = ""


class Network(NetworkPut, frozen=True, kw_only=True):
    """LXD's Network."""

    name: str = ""
    type: str = ""
    used_by: list[str] = []
    managed: bool = False
    status: str = ""
    locations: list[str] = []


class NetworkLease(Struct, frozen=True, kw_only=True):
    """LXD's NetworkLease."""

    hostname: str = ""
    hwaddr: str = ""
    address: str = ""
    type: str = ""
    location: str = ""


class NetworkStateAddress(Struct, frozen=True, kw_only=True):
    """LXD's NetworkStateAddress."""

    family: str = ""
    address: str = ""
    netmask: str = ""
    scope: str = ""


class NetworkStateCounters(Struct, frozen=True, kw_only=True):
    """LXD's NetworkStateCounters."""

    bytes_received: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    packets_sent: int = 0


class NetworkStateBond(Struct, frozen=True, kw_only=True):
    """LXD's NetworkStateBond."""

    mode: str = ""
    transmit_policy: str = ""
    up_delay: int = 0
    down_delay: int = 0
    mii_frequency: int = 0
    mii_state: str = ""
    lower_devices: list[str] = []


class NetworkStateBridge(Struct, frozen=True, kw_only=True):
    """LXD's NetworkStateBridge."""

    id: str = ""
    stp: bool = False
    forward_delay: int = 0
    vlan_default: int = 0
    vlan_filtering: bool = False
    upper_devices: list[str] = []


class NetworkStateVLAN(Struct, frozen=True, kw_only=True):
    """LXD's NetworkStateVLAN."""

    lower_device: str = ""
    vid: int = 0


class NetworkStateOVN(Struct, frozen=True, kw_only=True):
    """LXD's NetworkStateOVN."""

    chassis: str = ""


class NetworkState(Struct, frozen=True, kw_only=True):
    """LXD's NetworkState."""

    addresses: list[NetworkStateAddress] = []
    counters: NetworkStateCounters = field(default_factory=NetworkStateCounters)
    hwaddr: str = ""
    mtu: int = 0
    state: str = ""
    type: str = ""
    bond: NetworkStateBond | None = None
    bridge: NetworkStateBridge | None = None
    vlan: NetworkStateVLAN | None = None
    ovn: NetworkStateOVN | None = None
