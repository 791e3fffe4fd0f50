"""What the runtime needs to know to start one container. Everything is resolved: paths, maps, device lines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lightervisor.kernel.cgroup import Offered, offered
from lightervisor.kernel.idmap import IdMap

Lines = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What the host's kernel offers."""

    has_apparmor: bool
    lxcfs: Path | None
    cpu_count: int = 1
    memory_bytes: int = 0
    cgroups: Offered = field(default_factory=offered)


class Throttle(NamedTuple):
    """Most bytes and requests per second on a block device ("254:0"); 0 is no limit."""

    device: str
    read_bytes: int = 0
    write_bytes: int = 0
    read_requests: int = 0
    write_requests: int = 0

    def limits(self) -> tuple[int, int, int, int]:
        """Bytes read and written, requests to read and to write."""
        return self.read_bytes, self.write_bytes, self.read_requests, self.write_requests


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """One container: its liblxc name, expanded configuration, mounted root, device lines, limits of its disks.

    `devlxd` is the directory with the guest API's socket.
    """

    name: str
    hostname: str
    config: Mapping[str, str]
    rootfs: Path
    log_dir: Path
    security_dir: Path
    idmap: IdMap | None = None
    architecture: str = "x86_64"
    devlxd: Path | None = None
    device_lines: Lines = field(default_factory=list[tuple[str, str]])
    throttles: tuple[Throttle, ...] = ()
