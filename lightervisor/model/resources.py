"""Wire structs of resources. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import UNSET, Struct, UnsetType, field


class ResourcesCPUCache(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesCPUCache."""

    level: int = 0
    type: str = ""
    size: int = 0


class ResourcesCPUThread(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesCPUThread."""

    id: int = 0
    numa_node: int = 0
    thread: int = 0
    online: bool = False
    isolated: bool = False


class ResourcesCPUCore(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesCPUCore."""

    core: int = 0
    die: int = 0
    threads: list[ResourcesCPUThread] = []
    frequency: int | UnsetType = UNSET


class ResourcesCPUSocket(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesCPUSocket."""

    name: str | UnsetType = UNSET
    vendor: str | UnsetType = UNSET
    socket: int = 0
    cache: list[ResourcesCPUCache] | UnsetType = UNSET
    cores: list[ResourcesCPUCore] = []
    frequency: int | UnsetType = UNSET
    frequency_minimum: int | UnsetType = UNSET
    frequency_turbo: int | UnsetType = UNSET


class ResourcesCPU(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesCPU."""

    architecture: str = ""
    sockets: list[ResourcesCPUSocket] = []
    total: int = 0


class ResourcesMemoryNode(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesMemoryNode."""

    numa_node: int = 0
    hugepages_used: int = 0
    hugepages_total: int = 0
    used: int = 0
    total: int = 0


class ResourcesMemory(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesMemory."""

    nodes: list[ResourcesMemoryNode] | UnsetType = UNSET
    hugepages_total: int = 0
    hugepages_used: int = 0
    hugepages_size: int = 0
    used: int = 0
    total: int = 0


class ResourcesGPUCardDRM(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesGPUCardDRM."""

    id: int = 0
    card_name: str = ""
    card_device: str = ""
    control_name: str | UnsetType = UNSET
    control_device: str | UnsetType = UNSET
    render_name: str | UnsetType = UNSET
    render_device: str | UnsetType = UNSET


class ResourcesGPUCardSRIOV(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesGPUCardSRIOV."""

    current_vfs: int = 0
    maximum_vfs: int = 0
    vfs: "list[ResourcesGPUCard]" = []


class ResourcesGPUCardNvidia(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesGPUCardNvidia."""

    cuda_version: str | UnsetType = UNSET
    nvrm_version: str | UnsetType = UNSET
    brand: str = ""
    model: str = ""
    uuid: str | UnsetType = UNSET
    architecture: str | UnsetType = UNSET
    card_name: str = ""
    card_device: str = ""


class ResourcesGPUCardMdev(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesGPUCardMdev."""

    api: str = ""
    available: int = 0
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    devices: list[str] = []


class ResourcesGPUCard(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesGPUCard."""

    driver: str | UnsetType = UNSET
    driver_version: str | UnsetType = UNSET
    drm: ResourcesGPUCardDRM | UnsetType = UNSET
    sriov: ResourcesGPUCardSRIOV | UnsetType = UNSET
    nvidia: ResourcesGPUCardNvidia | UnsetType = UNSET
    mdev: dict[str, ResourcesGPUCardMdev] | UnsetType = UNSET
    numa_node: int = 0
    pci_address: str | UnsetType = UNSET
    vendor: str | UnsetType = UNSET
    vendor_id: str | UnsetType = UNSET
    product: str | UnsetType = UNSET
    product_id: str | UnsetType = UNSET
    usb_address: str | UnsetType = UNSET


class ResourcesGPU(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesGPU."""

    cards: list[ResourcesGPUCard] = []
    total: int = 0


class ResourcesNetworkCardPortInfiniband(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesNetworkCardPortInfiniband."""

    issm_name: str | UnsetType = UNSET
    issm_device: str | UnsetType = UNSET
    mad_name: str | UnsetType = UNSET
    mad_device: str | UnsetType = UNSET
    verb_name: str | UnsetType = UNSET
    verb_device: str | UnsetType = UNSET


class ResourcesNetworkCardPort(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesNetworkCardPort."""

    id: str = ""
    address: str | UnsetType = UNSET
    port: int = 0
    protocol: str = ""
    supported_modes: list[str] | UnsetType = UNSET
    supported_ports: list[str] | UnsetType = UNSET
    port_type: str | UnsetType = UNSET
    transceiver_type: str | UnsetType = UNSET
    auto_negotiation: bool = False
    link_detected: bool = False
    link_speed: int | UnsetType = UNSET
    link_duplex: str | UnsetType = UNSET
    infiniband: ResourcesNetworkCardPortInfiniband | UnsetType = UNSET


class ResourcesNetworkCardSRIOV(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesNetworkCardSRIOV."""

    current_vfs: int = 0
    maximum_vfs: int = 0
    vfs: "list[ResourcesNetworkCard]" = []


class ResourcesNetworkCard(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesNetworkCard."""

    driver: str | UnsetType = UNSET
    driver_version: str | UnsetType = UNSET
    ports: list[ResourcesNetworkCardPort] | UnsetType = UNSET
    sriov: ResourcesNetworkCardSRIOV | UnsetType = UNSET
    numa_node: int = 0
    pci_address: str | UnsetType = UNSET
    vendor: str | UnsetType = UNSET
    vendor_id: str | UnsetType = UNSET
    product: str | UnsetType = UNSET
    product_id: str | UnsetType = UNSET
    firmware_version: str | UnsetType = UNSET
    usb_address: str | UnsetType = UNSET


class ResourcesNetwork(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesNetwork."""

    cards: list[ResourcesNetworkCard] = []
    total: int = 0


class ResourcesStorageDiskPartition(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesStorageDiskPartition."""

    id: str = ""
    device: str = ""
    read_only: bool = False
    size: int = 0
    partition: int = 0


class ResourcesStorageDisk(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesStorageDisk."""

    id: str = ""
    device: str = ""
    model: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    read_only: bool = False
    size: int = 0
    removable: bool = False
    wwn: str | UnsetType = UNSET
    numa_node: int = 0
    device_path: str | UnsetType = UNSET
    block_size: int = 0
    firmware_version: str | UnsetType = UNSET
    rpm: int = 0
    serial: str | UnsetType = UNSET
    device_id: str = ""
    partitions: list[ResourcesStorageDiskPartition] = []
    pci_address: str | UnsetType = UNSET
    usb_address: str | UnsetType = UNSET


class ResourcesStorage(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesStorage."""

    disks: list[ResourcesStorageDisk] = []
    total: int = 0


class ResourcesUSBDeviceInterface(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesUSBDeviceInterface."""

    class_: str = field(default="", name="class")
    class_id: int = 0
    driver: str = ""
    driver_version: str = ""
    number: int = 0
    subclass: str = ""
    subclass_id: int = 0


class ResourcesUSBDevice(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesUSBDevice."""

    bus_address: int = 0
    device_address: int = 0
    interfaces: list[ResourcesUSBDeviceInterface] = []
    vendor: str = ""
    vendor_id: str = ""
    product: str = ""
    product_id: str = ""
    speed: float = 0.0


class ResourcesUSB(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesUSB."""

    devices: list[ResourcesUSBDevice] = []
    total: int = 0


class ResourcesPCIVPD(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesPCIVPD."""

    product_name: str | UnsetType = UNSET
    entries: dict[str, str] | UnsetType = UNSET


class ResourcesPCIDevice(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesPCIDevice."""

    driver: str = ""
    driver_version: str = ""
    numa_node: int = 0
    pci_address: str = ""
    vendor: str = ""
    vendor_id: str = ""
    product: str = ""
    product_id: str = ""
    iommu_group: int = 0
    vpd: ResourcesPCIVPD = field(default_factory=ResourcesPCIVPD)


class ResourcesPCI(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesPCI."""

    devices: list[ResourcesPCIDevice] = []
    total: int = 0


class ResourcesSystemFirmware(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesSystemFirmware."""

    vendor: str = ""
    date: str = ""
    version: str = ""


class ResourcesSystemChassis(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesSystemChassis."""

    vendor: str = ""
    type: str = ""
    serial: str = ""
    version: str = ""


class ResourcesSystemMotherboard(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesSystemMotherboard."""

    vendor: str = ""
    product: str = ""
    serial: str = ""
    version: str = ""


class ResourcesSystem(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesSystem."""

    uuid: str = ""
    vendor: str = ""
    product: str = ""
    family: str = ""
    version: str = ""
    sku: str = ""
    serial: str = ""
    type: str = ""
    firmware: ResourcesSystemFirmware | None = None
    chassis: ResourcesSystemChassis | None = None
    motherboard: ResourcesSystemMotherboard | None = None


class Resources(Struct, frozen=True, kw_only=True):
    """LXD's Resources."""

    cpu: ResourcesCPU = field(default_factory=ResourcesCPU)
    memory: ResourcesMemory = field(default_factory=ResourcesMemory)
    gpu: ResourcesGPU = field(default_factory=ResourcesGPU)
    network: ResourcesNetwork = field(default_factory=ResourcesNetwork)
    storage: ResourcesStorage = field(default_factory=ResourcesStorage)
    usb: ResourcesUSB = field(default_factory=ResourcesUSB)
    pci: ResourcesPCI = field(default_factory=ResourcesPCI)
    system: ResourcesSystem = field(default_factory=ResourcesSystem)


class ResourcesStoragePoolSpace(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesStoragePoolSpace."""

    used: int | UnsetType = UNSET
    total: int = 0


class ResourcesStoragePoolInodes(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesStoragePoolInodes."""

    used: int = 0
    total: int = 0


class ResourcesStoragePool(Struct, frozen=True, kw_only=True):
    """LXD's ResourcesStoragePool."""

    space: ResourcesStoragePoolSpace | UnsetType = UNSET
    inodes: ResourcesStoragePoolInodes | UnsetType = UNSET
