"""What the runtime needs to know to start one container. Everything is resolved: paths, maps, device lines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """One container: its liblxc name, expanded configuration, mounted root and device lines.

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
