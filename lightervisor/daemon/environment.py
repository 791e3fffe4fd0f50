"""The `environment` part of GET /1.0: what this host and this daemon are."""

import os
import platform
import socket
from collections.abc import Callable

from lightervisor.daemon.options import VERSION
from lightervisor.model.server import ServerEnvironment, ServerStorageDriverInfo
from lightervisor.storage.pools import Pools

ARCHITECTURES = {"x86_64": ["x86_64", "i686"], "aarch64": ["aarch64", "armv7l"]}


def reader(pools: Pools, liblxc_version: str) -> Callable[[], ServerEnvironment]:
    """A function that describes the server now; what cannot change is read once."""
    release = _os_release()
    machine = platform.machine()
    known = [ServerStorageDriverInfo(name=kind.name, version=kind.VERSION) for kind in pools.supported()]

    def read() -> ServerEnvironment:
        used = sorted({pool.driver for pool in pools.list()})
        versions = [info.version for name in used for info in known if info.name == name]
        return ServerEnvironment(
            architectures=ARCHITECTURES.get(machine, [machine]),
            driver="lxc",
            driver_version=liblxc_version,
            firewall="nftables",
            kernel="Linux",
            kernel_architecture=machine,
            kernel_version=os.uname().release,
            os_name=release.get("NAME", ""),
            os_version=release.get("VERSION_ID", ""),
            project="default",
            server="lxd",
            server_event_mode="full-mesh",
            server_name=socket.gethostname(),
            server_pid=os.getpid(),
            server_version=VERSION,
            storage=" | ".join(used),
            storage_version=" | ".join(versions),
            storage_supported_drivers=known,
        )

    return read


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
