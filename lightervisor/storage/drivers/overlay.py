"""Overlay: an instance is a writable layer over its unpacked image; made and copied in constant time.

Every layer comes in through an id-mapped mount, so files on disk keep plain owners whatever map a container has.
What a volume lies on is written beside it (`volume.json`), so that the pool alone tells. docs/adr/0003.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from lightervisor.errors import HostError, NotFound, Unsupported
from lightervisor.kernel import mounts, paths
from lightervisor.kernel.idmap import IdMap, IdRange
from lightervisor.storage.driver import MountedRoot, PoolUsage, StorageDriver, Volume
from lightervisor.storage.drivers.tree import Tree

PROBE_MAP = IdMap((IdRange("both", 1_000_000, 0, 65536),))


class Chain(msgspec.Struct, frozen=True):
    """What a volume lies on: directories of the pool, the topmost first."""

    lowers: list[str]
    mounted_for: str = ""


class Overlay(StorageDriver, name="overlay"):
    """Layers on any file system that can carry overlay and id-mapped mounts."""

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        super().__init__(root, config)
        self._tree = Tree(root)

    @classmethod
    def probe(cls, directory: Path) -> None:
        """Try it: mount a small id-mapped overlay and write to it."""
        place = directory / ".probe-overlay"
        paths.remove_tree(place)
        try:
            for name in ("lower", "top/upper", "top/work", "merged"):
                (place / name).mkdir(parents=True)
            mounts.overlay([place / "lower"], place / "top", place / "merged", PROBE_MAP)
            mounts.unmount(place / "merged")
        except (OSError, HostError) as error:
            raise Unsupported(
                "storage driver", "overlay", cause=f"this kernel or file system cannot carry it: {error}"
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
        return self._image(fingerprint).is_dir()

    def create_image(self, fingerprint: str, unpack: Callable[[Path], None]) -> None:
        """Unpack an image once."""
        if not self.has_image(fingerprint):
            self._tree.make(self._image(fingerprint), unpack)

    def delete_image(self, fingerprint: str) -> None:
        """Remove an unpacked image, or keep it hidden while volumes lie on it."""
        if not self._users(fingerprint):
            self._tree.remove(self._image(fingerprint))

    def _users(self, fingerprint: str) -> bool:
        layer = f"images/{fingerprint}/rootfs"
        return any(layer in self._chain(one).lowers for one in (self.root / "containers").iterdir())

    def create_volume(self, volume: Volume, image: str | None) -> None:
        """Make empty layers over an image's tree."""
        target = self.volume_path(volume)
        if target.exists():
            return
        if image is not None and not self.has_image(image):
            raise NotFound("image", image, text=f"Image {image} is not unpacked in this pool")

        def fill(fresh: Path) -> None:
            for name in ("rootfs", "layer/upper", "layer/work"):
                (fresh / name).mkdir(parents=True)
            lowers = []
            if image is not None:
                lowers.append(f"images/{image}/rootfs")
                _copy_description(self._image(image), fresh)
                _same_root(self._image(image) / "rootfs", fresh / "layer/upper")
            (fresh / "volume.json").write_bytes(msgspec.json.encode(Chain(lowers)))

        self._tree.make(target, fill)

    def delete_volume(self, volume: Volume) -> None:
        """Unmount and remove a volume."""
        self.unmount(volume)
        self._tree.remove(self.volume_path(volume))

    def rename_volume(self, volume: Volume, new: Volume) -> None:
        """Give an unmounted volume another name."""
        if self.volume_path(volume).exists():
            self.volume_path(volume).rename(self.volume_path(new))

    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Mount the layers for an id map."""
        path = self.volume_path(volume)
        chain = self._chain(path)
        wanted = idmap.to_json() if idmap else "none"
        if mounts.is_mounted(path / "rootfs"):
            if chain.mounted_for == wanted:
                return MountedRoot(path / "rootfs")
            mounts.unmount(path / "rootfs")
        lowers = [self.root / lower for lower in chain.lowers]
        if lowers:
            mounts.overlay(lowers, path / "layer", path / "rootfs", idmap)
        else:
            mounts.bind(path / "layer/upper", path / "rootfs", idmap)
        marked = msgspec.structs.replace(chain, mounted_for=wanted)
        (path / "volume.json.new").write_bytes(msgspec.json.encode(marked))
        (path / "volume.json.new").rename(path / "volume.json")
        return MountedRoot(path / "rootfs")

    def unmount(self, volume: Volume) -> None:
        """Unmount the layers."""
        mounts.unmount(self.volume_path(volume) / "rootfs")

    def _image(self, fingerprint: str) -> Path:
        return self.root / "images" / fingerprint

    @staticmethod
    def _chain(path: Path) -> Chain:
        try:
            return msgspec.json.decode((path / "volume.json").read_bytes(), type=Chain)
        except FileNotFoundError as error:
            raise NotFound("storage pool volume", path.name) from error


def _copy_description(image: Path, fresh: Path) -> None:
    shutil.copy(image / "metadata.yaml", fresh / "metadata.yaml")
    if (image / "templates").is_dir():
        shutil.copytree(image / "templates", fresh / "templates", symlinks=True)


def _same_root(lower: Path, upper: Path) -> None:
    """Give the upper directory the image root's owner and mode: the merged root takes them from it."""
    facts = lower.stat()
    os.chown(upper, facts.st_uid, facts.st_gid)
    upper.chmod(facts.st_mode & 0o7777)
