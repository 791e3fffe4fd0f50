"""Wire structs of instance state. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import Struct, field


class InstanceStatePut(Struct, frozen=True, kw_only=True):
    """LXD's InstanceStatePut, and `lease`: freeze only while the operation's websocket is open."""

    action: str = ""
    timeout: int = -1
    force: bool = False
    stateful: bool = False
    lease: bool = False


class InstanceStateDisk(Struct, frozen=True, kw_only=True):
    """LXD's InstanceStateDisk."""

    usage: int = 0


class InstanceStateMemory(Struct, frozen=True, kw_only=True):
    """LXD's InstanceStateMemory."""

    usage: int = 0
    usage_peak: int = 0
    swap_usage: int = 0
    swap_usage_peak: int = 0


class InstanceStateNetworkAddress(Struct, frozen=True, kw_only=True):
    """LXD's InstanceStateNetworkAddress."""

    family: str = ""
    address: str = ""
    netmask: str = ""
    scope: str = ""


class InstanceStateNetworkCounters(Struct, frozen=True, kw_only=True):
    """LXD's InstanceStateNetworkCounters."""

    bytes_received: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    packets_sent: int = 0
    errors_received: int = 0
    errors_sent: int = 0
    packets_dropped_outbound: int = 0
    packets_dropped_inbound: int = 0


class InstanceStateNetwork(Struct, frozen=True, kw_only=True):
    """LXD's InstanceStateNetwork."""

    addresses: list[InstanceStateNetworkAddress] = []
    counters: InstanceStateNetworkCounters = field(default_factory=InstanceStateNetworkCounters)
    hwaddr: str = ""
    host_name: str = ""
    mtu: int = 0
    state: str = ""
    type: str = ""


class InstanceStateCPU(Struct, frozen=True, kw_only=True):
    """LXD's InstanceStateCPU."""

    usage: int = 0


class InstanceState(Struct, frozen=True, kw_only=True):
    """LXD's InstanceState."""

    status: str = ""
    status_code: int = 0
    disk: dict[str, InstanceStateDisk] | None = None
    memory: InstanceStateMemory = field(default_factory=InstanceStateMemory)
    network: dict[str, InstanceStateNetwork] | None = None
    pid: int = 0
    processes: int = 0
    cpu: InstanceStateCPU = field(default_factory=InstanceStateCPU)
