"""Overlay: an instance is one writable layer over its image's tree; made and deleted in constant time.

An image is unpacked once, with its real owners. A volume has `top/upper`, what was written, and `volume.json`, which
names the directories of the pool below it, so that the pool alone tells what a volume is made of (docs/adr/0003).
Everything is brought in through id-mapped mounts (`kernel/overlay.py`), so owners on disk are plain.
"""

import os
import shutil
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from lightervisor.errors import HostError, NotFound, Unsupported
from lightervisor.kernel import fsinfo, mounts, overlay, paths
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.userns import namespace_of
from lightervisor.storage import probe
from lightervisor.storage.driver import MountedRoot, PlainDirectories, PlainDirectory, StorageDriver, Volume
from lightervisor.storage.mountpoint import Mountpoint

PLAIN = ("var/lib/docker", "var/lib/containers", "var/lib/lxd")


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """volume.json: what a volume lies on, as paths below the pool, the uppermost first; empty without an image."""

    version: int = 1
    image: str = ""
    lowers: list[str] = []


class Overlay(StorageDriver, PlainDirectories, name="overlay"):
    """Layers on any file system that carries overlayfs and id-mapped mounts. Source: kernel, overlayfs.rst."""

    RANK = 10

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        super().__init__(root, config)
        # Between looking whether an image is there, or used, and acting on it.
        self._images_lock = threading.Lock()
        self._mounting = threading.Lock()

    @classmethod
    def probe(cls, root: Path) -> None:
        """Mount a small overlay for an id map, and write to it and over it."""
        if fsinfo.type_name(fsinfo.existing_parent(root)) == "overlay":
            cause = f"{root} is on overlayfs, which cannot carry another one"
            raise Unsupported("storage driver", cls.name, cause=cause, remedy="use dir, or give a source elsewhere")
        with probe.trying(cls.name, root) as place:
            for name in ("lower/old", "top/upper", "top/work", "target", "scratch"):
                (place / name).mkdir(parents=True)
            layers = overlay.Layers(lowers=[place / "lower"], top=place / "top")
            overlay.mount(layers, place / "target", probe.MAP, scratch=place / "scratch")
            probe.check_writable(place / "target")
            (place / "target/old").rename(place / "target/new")

    def create(self) -> None:
        """Make the directories."""
        self.layout.prepare(self.source())

    def delete(self) -> None:
        """Remove the directories."""
        self.layout.remove()

    def create_image(self, fingerprint: str, unpack: Callable[[Path], None]) -> None:
        """Keep it unpacked; one that was deleted while volumes lie on it comes back without unpacking."""
        target = self.layout.image_path(fingerprint)
        with self._images_lock:
            if target.is_dir():
                self.layout.tombstone(fingerprint).unlink(missing_ok=True)
                return
        with self.layout.making("image") as staged:
            unpack(staged)
            self.layout.check_image(staged)
            self.layout.place(staged, target)

    def delete_image(self, fingerprint: str) -> None:
        """Hide it while volumes lie on it; it goes with the last of them."""
        with self._images_lock:
            if self.layout.image_path(fingerprint).is_dir():
                self.layout.tombstone(fingerprint).touch()
                self._reap(fingerprint)

    def create_volume(self, volume: Volume, image: str | None) -> None:
        """Make an empty layer over the image's tree."""
        if self.has_volume(volume):
            return
        with self._images_lock, self.layout.making("storage volume") as staged:
            if image is not None and not self.has_image(image):
                raise NotFound("image", image, text=f"Image {image} is not in this storage pool")
            for name in ("top", "top/upper", "top/work"):
                (staged / name).mkdir(mode=0o700)
            chain = Chain()
            if image is not None:
                source = self.layout.image_path(image)
                chain = Chain(image=image, lowers=[f"images/{image}/rootfs"])
                _same_root(source / "rootfs", staged / "top/upper")
                self.layout.copy_beside(source, staged)
            else:
                (staged / "top/upper").chmod(0o755)
            (staged / "volume.json").write_bytes(msgspec.json.format(msgspec.json.encode(chain)))
            Mountpoint(staged).make()
            self.layout.place(staged, self.volume_path(volume))

    def delete_volume(self, volume: Volume) -> None:
        """Into the trash, and its image too when it was the last volume of one that is deleted."""
        if not self.has_volume(volume):
            return
        try:
            image = self.chain(volume).image
        except HostError:  # what cannot be read can be deleted all the same
            image = ""
        self.unmount(volume)
        with self._images_lock:
            self.layout.trash.discard(self.volume_path(volume))
            if image and self.layout.tombstone(image).exists():
                self._reap(image)

    def rename_volume(self, volume: Volume, new: Volume) -> None:
        """Rename the directory."""
        self.layout.rename(self.volume_path(volume), self.volume_path(new))

    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Mount the layers; a volume without any below it is shown as it is."""
        point, top = Mountpoint(self.volume_path(volume)), self.volume_path(volume) / "top"
        lowers = [self.layout.root / lower for lower in self.chain(volume).lowers]

        def attach() -> None:
            if lowers:
                layers = overlay.Layers(lowers=lowers, top=top)
                overlay.mount(layers, point.path, idmap, scratch=self.layout.trash.directory)
            elif idmap is not None:
                mounts.bind_idmapped(top / "upper", point.path, namespace_of(idmap))
            else:
                mounts.bind(top / "upper", point.path)

        try:
            with self._mounting:
                point.ensure(idmap, attach)
        except OSError as error:
            raise self.layout.failure("mount", error) from error
        return MountedRoot(path=point.path, idmapped=idmap is not None)

    def unmount(self, volume: Volume) -> None:
        """Take the mount out of sight at once; the kernel's flush of it goes on behind."""
        try:
            let_go = Mountpoint(self.volume_path(volume)).release()
        except OSError as error:
            raise self.layout.failure("mount", error) from error
        if let_go is not None:
            self.layout.trash.behind(let_go)

    def size(self, volume: Volume) -> int:
        """Bytes of what was written, without the image."""
        directory = self.volume_path(volume)
        return sum(paths.tree_size(directory, name) for name in ("top", "plain"))

    def chain(self, volume: Volume) -> Chain:
        """What a volume lies on. Raises NotFound, and HostError when its description cannot be read."""
        path = self.volume_path(volume) / "volume.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Chain)
        except FileNotFoundError as error:
            raise NotFound("storage pool volume", volume.name) from error
        except (OSError, msgspec.MsgspecError) as error:
            raise HostError("storage volume", volume.name, cause=f"{path} cannot be read: {error}") from error

    def plain_directories(self, volume: Volume) -> list[PlainDirectory]:
        """Directories in the volume beside its layers, for what has to make overlays itself."""
        directory, found = self.volume_path(volume), list[PlainDirectory]()
        below = [directory / "top/upper", *(self.layout.root / lower for lower in self.chain(volume).lowers)]
        for guest in PLAIN:
            host = directory / "plain" / guest.replace("/", "-")
            if not host.is_dir():
                if any(_has_content(layer, guest) for layer in below):
                    continue
                host.mkdir(mode=0o711, parents=True)
            found.append(PlainDirectory(host=host, guest=guest))
        return found

    def _reap(self, fingerprint: str) -> None:
        """Remove a deleted image that no volume lies on; the lock is held."""
        layer = f"images/{fingerprint}/"
        volumes = [*self.volumes("containers"), *self.volumes("custom")]
        for volume in volumes:
            try:
                if any(lower.startswith(layer) for lower in self.chain(volume).lowers):
                    return
            except NotFound:
                continue
            except HostError:  # it may lie on this image
                return
        self.layout.trash.discard(self.layout.image_path(fingerprint))
        self.layout.tombstone(fingerprint).unlink(missing_ok=True)


def _same_root(lower: Path, upper: Path) -> None:
    """Give a layer the owner, mode, times and attributes of the root below it: the merged root takes them from it."""
    found = lower.stat()
    shutil.copystat(lower, upper)
    os.chown(upper, found.st_uid, found.st_gid)
    upper.chmod(stat.S_IMODE(found.st_mode))


def _has_content(layer: Path, guest: str) -> bool:
    try:
        return bool(paths.names(layer, guest))
    except (FileNotFoundError, NotADirectoryError):
        return False
