"""Wire structs of server. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from typing import Any

from msgspec import Struct, field


class ServerStorageDriverInfo(Struct, frozen=True, kw_only=True):
    """LXD's ServerStorageDriverInfo."""

    name: str = field(default="", name="Name")
    version: str = field(default="", name="Version")
    remote: bool = field(default=False, name="Remote")


class ServerEnvironment(Struct, frozen=True, kw_only=True):
    """LXD's ServerEnvironment."""

    addresses: list[str] = []
    architectures: list[str] = []
    certificate: str = ""
    certificate_fingerprint: str = ""
    driver: str = ""
    driver_version: str = ""
    firewall: str = ""
    kernel: str = ""
    kernel_architecture: str = ""
    kernel_features: dict[str, str] = {}
    kernel_version: str = ""
    lxc_features: dict[str, str] = {}
    os_name: str = ""
    os_version: str = ""
    project: str = ""
    server: str = ""
    server_clustered: bool = False
    server_event_mode: str = ""
    server_name: str = ""
    server_pid: int = 0
    server_version: str = ""
    storage: str = ""
    storage_version: str = ""
    storage_supported_drivers: list[ServerStorageDriverInfo] = []


class ServerPut(Struct, frozen=True, kw_only=True):
    """LXD's ServerPut."""

    config: dict[str, Any] = {}


class ServerUntrusted(Struct, frozen=True, kw_only=True):
    """LXD's ServerUntrusted: what a guest is told."""

    api_extensions: list[str] = []
    api_status: str = ""
    api_version: str = ""
    auth: str = ""
    public: bool = False
    auth_methods: list[str] = []


class Server(ServerPut, frozen=True, kw_only=True):
    """LXD's Server; the fields up to `auth_methods` are its ServerUntrusted."""

    api_extensions: list[str] = []
    api_status: str = ""
    api_version: str = ""
    auth: str = ""
    public: bool = False
    auth_methods: list[str] = []
    environment: ServerEnvironment = field(default_factory=ServerEnvironment)
