"""The contract of storage drivers.

A driver keeps the volumes of one pool below one directory, in LXD's layout: `containers/<name>/rootfs`,
`images/<fingerprint>`. Life of a pool: `probe` (may it live here?), `create`, use, `delete`. An image is unpacked
once (`create_image`) and a volume starts as its clone (`create_volume`). `mount` gives the path for an id map and
`unmount` takes it away.

Promises: every method may be called twice; a volume or image is there whole or not at all, whenever the daemon
dies, because it is made beside its place and renamed into it; deletion renames into the pool's trash first, and
`create` (called at every start) empties the trash. Files on disk keep the owners they have in the image.

Errors: HostError with the tool's or kernel's words, NotFound for what is not there, Unsupported from `probe`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from msgspec import Struct

from lightervisor.kernel.idmap import IdMap

DRIVERS: dict[str, type["StorageDriver"]] = {}


class Volume(Struct, frozen=True):
    """One volume of a pool."""

    kind: Literal["containers", "custom"]
    name: str


class MountedRoot(Struct, frozen=True):
    """A mounted root file system."""

    path: Path


class PoolUsage(Struct, frozen=True):
    """Space and inodes of a pool."""

    used_bytes: int
    total_bytes: int
    used_inodes: int
    total_inodes: int


class StorageDriver(ABC):
    """One way of keeping volumes; the name given at subclassing is the one users type."""

    NAME: ClassVar[str]
    VERSION: ClassVar[str] = "1"

    def __init_subclass__(cls, *, name: str) -> None:
        if name in DRIVERS:
            raise ValueError(f"storage driver {name} is registered twice")
        cls.NAME = name
        DRIVERS[name] = cls

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        self.root, self.config = root, config

    @classmethod
    @abstractmethod
    def probe(cls, directory: Path) -> None:
        """Raise Unsupported, with the reason, when this driver cannot work in a directory of this host."""

    @abstractmethod
    def create(self) -> None:
        """Make the pool's directories and empty its trash."""

    @abstractmethod
    def delete(self) -> None:
        """Remove the pool's directories."""

    @abstractmethod
    def usage(self) -> PoolUsage:
        """Space and inodes, of the file system the pool is on."""

    @abstractmethod
    def has_image(self, fingerprint: str) -> bool:
        """Whether an image is unpacked here."""

    @abstractmethod
    def create_image(self, fingerprint: str, unpack: Callable[[Path], None]) -> None:
        """Unpack an image: `unpack` fills an empty directory with metadata.yaml, templates and rootfs."""

    @abstractmethod
    def delete_image(self, fingerprint: str) -> None:
        """Remove an unpacked image; what was cloned from it stays whole."""

    @abstractmethod
    def create_volume(self, volume: Volume, image: str | None) -> None:
        """Make a volume, a clone of an unpacked image or empty."""

    @abstractmethod
    def delete_volume(self, volume: Volume) -> None:
        """Unmount and remove a volume."""

    @abstractmethod
    def rename_volume(self, volume: Volume, new: Volume) -> None:
        """Give an unmounted volume another name."""

    @abstractmethod
    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Mount a volume's root for an id map; again with the same map changes nothing."""

    @abstractmethod
    def unmount(self, volume: Volume) -> None:
        """Unmount a volume's root."""

    def volume_path(self, volume: Volume) -> Path:
        """The volume's directory: rootfs, metadata.yaml, templates, backup.yaml."""
        return self.root / volume.kind / volume.name
