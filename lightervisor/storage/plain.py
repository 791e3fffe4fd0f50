"""Directories that a pool keeps beside the root file system, as that cannot carry them.

overlayfs refuses an upper directory on overlayfs, which is what Docker and LXD need inside a container.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from lightervisor.kernel import paths
from lightervisor.storage.driver import Snapshot, Volume

PLAIN = ("var/lib/docker", "var/lib/containers", "var/lib/lxd")
"""Where those who make overlays themselves keep them, in the root file system."""


class PlainDirectory(Struct, frozen=True):
    """A directory of the pool to be bound into a container, with its id map, at `guest` (relative, no slash)."""

    host: Path
    guest: str


class PlainDirectories(ABC):
    """An ability of storage drivers. The directories are in `plain` of a volume's directory (`name_of`)."""

    @abstractmethod
    def plain_directories(self, volume: Volume) -> list[PlainDirectory]:
        """The directories to bind into a container that nests others, made if they are missing.

        What the volume has content in already is left alone.
        """

    @abstractmethod
    def snapshot_directories(self, snapshot: Snapshot) -> list[PlainDirectory]:
        """What a snapshot keeps of such directories; for reading only."""


def name_of(guest: str) -> str:
    """The name, in `plain`, of what lies at a place of the root file system."""
    return guest.replace("/", "-")


def provided(folder: Path, below: Sequence[Path]) -> list[PlainDirectory]:
    """Those of a volume's `plain`, made if they are missing, but for what one of the trees has content in already."""
    found: list[PlainDirectory] = []
    for guest in PLAIN:
        host = folder / name_of(guest)
        if not host.is_dir():
            if any(_has_content(layer, guest) for layer in below):
                continue
            host.mkdir(mode=0o711, parents=True)
        found.append(PlainDirectory(host=host, guest=guest))
    return found


def kept(folder: Path) -> list[PlainDirectory]:
    """Those that are in a snapshot's `plain`."""
    found = [PlainDirectory(host=folder / name_of(guest), guest=guest) for guest in PLAIN]
    return [one for one in found if one.host.is_dir()]


def _has_content(layer: Path, guest: str) -> bool:
    try:
        return bool(paths.names(layer, guest))
    except (FileNotFoundError, NotADirectoryError):
        return False
