"""Dir: an instance is a plain copy of its unpacked image; works on any file system with id-mapped mounts."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lightervisor.errors import HostError, NotFound, Unsupported
from lightervisor.kernel import mounts, paths, process
from lightervisor.kernel.idmap import IdMap, IdRange
from lightervisor.storage.driver import MountedRoot, PoolUsage, StorageDriver, Volume
from lightervisor.storage.drivers.tree import Tree

PROBE_MAP = IdMap((IdRange("both", 1_000_000, 0, 65536),))


class Dir(StorageDriver, name="dir"):
    """Plain directories; creating costs a copy, sharing extents where the file system can."""

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        super().__init__(root, config)
        self._tree = Tree(root)
        self._maps: dict[str, IdMap | None] = {}

    @classmethod
    def probe(cls, directory: Path) -> None:
        """Try it: make an id-mapped mount."""
        place = directory / ".probe-dir"
        paths.remove_tree(place)
        try:
            (place / "source").mkdir(parents=True)
            (place / "target").mkdir()
            mounts.bind(place / "source", place / "target", PROBE_MAP)
            mounts.unmount(place / "target")
        except (OSError, HostError) as error:
            raise Unsupported(
                "storage driver", "dir", cause=f"this kernel or file system has no id-mapped mounts: {error}"
            ) from error
        finally:
            paths.remove_tree(place)

    def create(self) -> None:
        """Make the pool's directories and empty its trash."""
        self._tree.create()

    def delete(self) -> None:
        """Unmount and remove the pool's directories."""
        self._tree.unmount_all()
        paths.remove_tree(self.root)

    def usage(self) -> PoolUsage:
        """Space and inodes of the file system."""
        return self._tree.usage()

    def has_image(self, fingerprint: str) -> bool:
        """Whether an image is unpacked here."""
        return (self.root / "images" / fingerprint).is_dir()

    def create_image(self, fingerprint: str, unpack: Callable[[Path], None]) -> None:
        """Unpack an image once."""
        if not self.has_image(fingerprint):
            self._tree.make(self.root / "images" / fingerprint, unpack)

    def delete_image(self, fingerprint: str) -> None:
        """Remove an unpacked image."""
        self._tree.remove(self.root / "images" / fingerprint)

    def create_volume(self, volume: Volume, image: str | None) -> None:
        """Copy an image's tree, or make an empty root."""
        if self.volume_path(volume).exists():
            return
        source = self.root / "images" / (image or "")
        if image is not None and not source.is_dir():
            raise NotFound("image", image, text=f"Image {image} is not unpacked in this pool")

        def fill(fresh: Path) -> None:
            if image is None:
                (fresh / "rootfs").mkdir()
            else:
                process.run(["cp", "--archive", "--reflink=auto", "--", f"{source}/.", fresh])

        self._tree.make(self.volume_path(volume), fill)

    def delete_volume(self, volume: Volume) -> None:
        """Unmount and remove a volume."""
        self.unmount(volume)
        self._tree.remove(self.volume_path(volume))

    def rename_volume(self, volume: Volume, new: Volume) -> None:
        """Give an unmounted volume another name."""
        if self.volume_path(volume).exists():
            self.volume_path(volume).rename(self.volume_path(new))

    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Mount the root over itself for an id map."""
        path = self.volume_path(volume) / "rootfs"
        if not path.is_dir():
            raise NotFound("storage pool volume", volume.name)
        key = str(path)
        if mounts.is_mounted(path):
            if key in self._maps and self._maps[key] == idmap:
                return MountedRoot(path)
            mounts.unmount(path)
        mounts.bind(path, path, idmap)
        self._maps[key] = idmap
        return MountedRoot(path)

    def unmount(self, volume: Volume) -> None:
        """Unmount the root."""
        path = self.volume_path(volume) / "rootfs"
        mounts.unmount(path)
        self._maps.pop(str(path), None)
