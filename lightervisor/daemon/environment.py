"""The `environment` part of GET /1.0: what this host and this daemon are."""

import os
import platform
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lightervisor.config import architectures
from lightervisor.daemon.options import VERSION
from lightervisor.daemon.server_certificate import ServerCertificate
from lightervisor.model.server import ServerEnvironment, ServerStorageDriverInfo
from lightervisor.storage.pools import Pools

LIBLXC_FEATURES = [
    "cgroup2", "core_scheduling", "devpts_fd", "idmapped_mounts_v2", "mount_injection_file",
    "network_gateway_device_route", "network_ipvlan", "network_l2proxy", "network_phys_macvlan_mtu",
    "network_veth_router", "pidfd", "seccomp_allow_deny_syntax", "seccomp_notify", "seccomp_proxy_send_notify_fd",
]  # fmt: skip
"""The API extensions of liblxc that LXD tells of."""
SECCOMP_ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")


class Liblxc(NamedTuple):
    """The library's version, and which of `LIBLXC_FEATURES` it has."""

    version: str
    features: dict[str, bool]


def reader(
    pools: Pools, liblxc: Liblxc, certificate: ServerCertificate, addresses: Callable[[], list[str]]
) -> Callable[[], ServerEnvironment]:
    """A function that describes the server now; what cannot change is read once."""
    release = _os_release()
    machine = platform.machine()
    features = {name: _word(found) for name, found in _kernel_features().items()}
    known = [ServerStorageDriverInfo(name=kind.name, version=kind.VERSION) for kind in pools.supported()]

    def read() -> ServerEnvironment:
        used = sorted({pool.driver for pool in pools.list()})
        versions = [info.version for name in used for info in known if info.name == name]
        return ServerEnvironment(
            addresses=addresses(),
            architectures=architectures.runnable(),
            certificate=certificate.pem,
            certificate_fingerprint=certificate.fingerprint,
            driver="lxc",
            driver_version=liblxc.version,
            firewall="nftables",
            kernel="Linux",
            kernel_architecture=machine,
            kernel_features=features,
            kernel_version=os.uname().release,
            lxc_features={name: _word(found) for name, found in liblxc.features.items()},
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


def user_agent(drivers: Sequence[str]) -> str:
    """What this server calls itself at others, which may look at it. Source: LXD's user agent."""
    host, release = os.uname(), _os_release()
    system = "; ".join(word for word in (release.get("NAME", ""), release.get("VERSION_ID", "")) if word)
    words = "; ".join(word for word in ("Linux", host.machine, host.release, system) if word)
    pools = f" ({'; '.join(drivers)})" if drivers else ""
    return f"LXD {VERSION} ({words}){pools}".encode("ascii", "replace").decode()


def _word(value: bool) -> str:
    return "true" if value else "false"


def _kernel_features() -> dict[str, bool]:
    """What this kernel can do, by the releases that brought it. Source: kernelnewbies.org/LinuxChanges, seccomp(2)."""
    release = tuple(int(number) for number in re.findall(r"[0-9]+", os.uname().release)[:2])
    try:
        listens = "user_notif" in SECCOMP_ACTIONS.read_text().split()
    except OSError:
        listens = False
    return {
        "idmapped_mounts": release >= (5, 12),
        "netnsid_getifaddrs": release >= (4, 18),
        "seccomp_listener": listens,
        "seccomp_listener_continue": listens and release >= (5, 5),
        "shiftfs": "shiftfs" in Path("/proc/filesystems").read_text().split(),
        "uevent_injection": release >= (4, 18),
        "unpriv_fscaps": release >= (4, 14),
    }


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
