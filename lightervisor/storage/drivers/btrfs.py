"""Btrfs: an instance is a subvolume, made by a snapshot of its image's; all copies share what is the same.

Files lie as in pools of `dir`. A snapshot is complete before it has its name: one call makes it, or it is moved there.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar

from lightervisor.config.key import key
from lightervisor.config.types import Size, Text
from lightervisor.errors import NotFound, Unsupported
from lightervisor.kernel import btrfs, mounts, owners, paths
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.project_quotas import Figures
from lightervisor.kernel.userns import namespace_of
from lightervisor.storage import btrfs_source, subvolumes
from lightervisor.storage.btrfs_source import Source
from lightervisor.storage.driver import RESTORED, Filling, MountedRoot, Snapshot, Still, StorageDriver, Volume
from lightervisor.storage.mountpoint import Mountpoint, keep_root_alone
from lightervisor.storage.settling import settle
from lightervisor.storage.streams import SubvolumeStreams
from lightervisor.storage.subvolume_quotas import SubvolumeQuotas

Fill = Callable[[Path], None]
Held = Volume | Snapshot
STAGED = "volume"


class Btrfs(StorageDriver, SubvolumeStreams, name="btrfs"):
    """Subvolumes and snapshots. Source: btrfs(5), LXD's storage layout of btrfs."""

    RANK, SHARES = 95, True
    keys: ClassVar = (
        key("size", Size, scope="pool.btrfs", help="Size of the file that carries the pool; a fifth of what is free"),
        key(
            btrfs_source.MOUNT_OPTIONS,
            Text,
            scope="pool.btrfs",
            default=btrfs_source.OPTIONS,
            help="Options of mounting the pool's file system, with commas",
        ),
    )

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        super().__init__(root, config)
        self.layout.trash.remove_tree = subvolumes.remove
        self._subvolume_quotas, self._mounting = SubvolumeQuotas(root), threading.Lock()

    @classmethod
    def probe(cls, root: Path) -> None:
        """See that the kernel has it and its programs are there; whether mounts can be id-mapped shows in `create`."""
        if complaint := btrfs_source.complaint():
            raise Unsupported("storage driver", cls.name, cause=complaint.cause, remedy=complaint.remedy)

    @classmethod
    def completed(cls, root: Path, wanted: Mapping[str, str]) -> dict[str, str]:
        """A file of ours, a block device's number, or a directory of another btrfs."""
        return btrfs_source.completed(root, wanted)

    @classmethod
    def found(cls, root: Path, config: Mapping[str, str]) -> StorageDriver:
        """Mounted, to be looked into; nothing is made."""
        return cls(root, btrfs_source.attached(root, config))

    def create(self) -> None:
        """Mount it and make the directories; snapshots and sizes that a killed daemon left open are closed."""
        try:
            Source(self.layout.root, self.config).attach()
            self.layout.prepare(None)
            for kind in ("containers", "custom"):
                for name in self.layout.entries(f"{kind}-snapshots"):
                    for snapshot in self.snapshots(Volume(kind, name)):
                        subvolumes.set_read_only(self.snapshot_path(snapshot), True)
                for volume in self.volumes(kind):
                    self._subvolume_quotas.hold(self.volume_path(volume))
        except OSError as error:
            raise self.layout.failure("storage pool", error) from error
        self._tidy_all_snapshots()

    def reconfigure(self, config: Mapping[str, str]) -> None:
        """Other options of mounting and a larger file apply at once."""
        self._carried(lambda source: source.reconfigure(config))

    def delete(self) -> None:
        """Remove what is in it, which is looked at before, and the file that carries it."""
        self._carried(Source.show_left)
        self.abandon()

    def abandon(self) -> None:
        """The file goes as well, though it cannot be mounted."""
        self.layout.remove()
        self._carried(Source.remove)

    def _carried(self, act: Callable[[Source], None]) -> None:
        try:
            act(Source(self.layout.root, self.config))
        except OSError as error:
            raise self.layout.failure("storage pool", error) from error

    @contextmanager
    def _making(self, what: str) -> Generator[Path, None, None]:
        with self.layout.making(what) as outer:
            yield outer / STAGED

    def create_image(self, fingerprint: str, unpack: Fill) -> None:
        """Keep it as a subvolume that is all that an instance of it needs to begin with."""
        target = self.layout.image_path(fingerprint)
        if target.is_dir():
            return
        with self._making("image") as staged:
            self._filled(staged, unpack, "image")
            self.layout.place(staged, target)

    def _filled(self, staged: Path, fill: Fill, what: str = "storage volume") -> None:
        btrfs.create(staged)
        fill(staged)
        self._settle(staged, what)

    def _settle(self, staged: Path, what: str = "storage volume") -> None:
        settle(self.layout, staged, what)
        self.layout.flush()

    def adopt(self, target: Held, make: Fill, idmap: IdMap | None) -> None:
        """What came as a stream is looked at as what is unpacked."""
        with self._making("storage volume") as staged:
            make(staged)
            self.layout.check_root(staged)
            if idmap is not None:
                owners.make_plain(staged / "rootfs", idmap)
            self._settle(staged)
            self._put(staged, target)

    def _put(self, staged: Path, target: Held) -> None:
        if self._directory_of(target).is_dir():
            self._exchange(staged, target)
        elif isinstance(target, Volume):
            self._place(staged, target)
            self.layout.flush()  # its name, too, before anything else says that it is there
        else:
            self._close(staged, target)

    def delete_image(self, fingerprint: str) -> None:
        """Volumes share its extents, not itself."""
        self.layout.trash.discard(self.layout.image_path(fingerprint))

    def create_volume(self, volume: Volume, image: str | None) -> None:
        """A snapshot of the image's subvolume."""
        if self.has_volume(volume):
            return
        if image is None:
            with self._making("storage volume") as staged:
                self._born(staged, None)
                self._put(staged, volume)
        else:
            self._snapshot(self._image(image), self.volume_path(volume), read_only=False)

    def _image(self, image: str) -> Path:
        if not self.has_image(image):
            raise NotFound("image", image, text=f"Image {image} is not in this storage pool")
        return self.layout.image_path(image)

    def _born(self, staged: Path, image: str | None) -> None:
        if image is not None:
            self._snapshot(self._image(image), staged, read_only=False)
        else:
            btrfs.create(staged)
            Mountpoint(staged).make()

    def _snapshot(self, source: Path, target: Path, *, read_only: bool) -> None:
        """One call of the kernel. Nothing happens when the target is there."""
        try:
            btrfs.snapshot(source, target, read_only=read_only)
        except FileExistsError:
            return
        except FileNotFoundError as error:
            if source.parent == self.layout.root / "images":
                raise NotFound("image", source.name, text=f"Image {source.name} is not in this storage pool") from error
            raise NotFound("storage pool volume", source.name) from error
        except OSError as error:
            raise self.layout.failure("storage volume", error) from error

    def rebuild_volume(self, volume: Volume, image: str | None, mark: str) -> None:
        """A snapshot of the other image changes places with it."""
        if not self.has_volume(volume):
            raise NotFound("storage pool volume", volume.name)
        with self._making("storage volume") as staged:
            self._born(staged, image)
            (staged / RESTORED).write_text(mark)
            self._exchange(staged, volume)

    def _exchange(self, staged: Path, target: Held) -> None:
        """Put what was made in the place of what is there, at once; it may take as much as that might."""
        place = self.path_of(target)
        if isinstance(target, Volume):
            self.unmount(target)
            self._subvolume_quotas.hand_on(place, staged)
            self.layout.exchange(staged, place)
            return
        self.unmount_snapshot(target)
        subvolumes.set_read_only(place, False)
        self.layout.exchange(staged, place)
        subvolumes.set_read_only(place, True)

    def fill_volume(self, volume: Volume, fill: Fill) -> None:
        """Let it be filled."""
        self._fill(volume, fill)

    def fill_snapshot(self, snapshot: Snapshot, fill: Fill) -> None:
        """Let it be filled."""
        self._fill(snapshot, fill)

    def _fill(self, target: Held, fill: Fill) -> None:
        if not self._directory_of(target).is_dir():
            with self._making("storage volume") as staged:
                self._filled(staged, fill)
                self._put(staged, target)

    def _close(self, staged: Path, snapshot: Snapshot) -> None:
        """Give a snapshot its place; what nobody can write to could not be moved any more."""
        self._place(staged, snapshot)
        subvolumes.set_read_only(self.snapshot_path(snapshot), True)

    def delete_volume(self, volume: Volume) -> None:
        """Into the trash."""
        self.unmount(volume)
        self.layout.trash.discard(self.volume_path(volume))
        for snapshot in self.snapshots(volume):
            self.delete_snapshot(snapshot)
        self._tidy_snapshots(volume)

    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Show rootfs over itself with the owners of the map; without a map it is used as it is."""
        point = Mountpoint(self.volume_path(volume))
        if not point.path.is_dir():
            raise NotFound("storage pool volume", volume.name)

        def attach() -> None:
            if idmap is not None:
                mounts.bind_idmapped(point.path, point.path, namespace_of(idmap))

        try:
            with self._mounting, self._subvolume_quotas.unheld(point.path.parent):
                point.ensure(idmap, attach)
        except OSError as error:
            raise self.layout.failure("mount", error) from error
        return MountedRoot(path=point.path, idmapped=idmap is not None)

    def open_volume(self, volume: Volume) -> int:
        """The directory itself."""
        return self.layout.open_directory(self.volume_path(volume) / "rootfs")

    def size(self, volume: Volume) -> int:
        """What would come free without it where quotas are kept; else the bytes of the whole tree."""
        found = self._subvolume_quotas.exclusive(self.volume_path(volume))
        return paths.tree_size(self.volume_path(volume), "rootfs") if found is None else found

    def create_snapshot(self, snapshot: Snapshot, still: Still | None = None) -> None:
        """A snapshot that nobody can write to; guests are held still although the kernel's is of one moment."""
        if not self.has_snapshot(snapshot):
            self._keep(snapshot.volume, snapshot, still, None)

    def _keep(self, source: Held, target: Held, still: Still | None, watch: Watch | None) -> None:
        """One call of the kernel makes it where it belongs, unless subvolumes are nested in it."""
        directory, place = self.path_of(source), self._directory_of(target)
        if watch is not None:
            watch.check()
        if not self._nests(directory):
            if isinstance(target, Snapshot):
                place.parent.mkdir(mode=0o700, exist_ok=True)
            with still() if still is not None else nullcontext():
                self._snapshot(directory, place, read_only=isinstance(target, Snapshot))
            return
        with self._making("storage volume" if isinstance(target, Volume) else "snapshot") as staged:
            self._copy(source, staged, still, watch)
            self._put(staged, target)

    def _nests(self, directory: Path) -> bool:
        try:
            return subvolumes.has_nested(directory)
        except OSError as error:
            raise self.layout.failure("storage volume", error) from error

    def _copy(self, source: Held, staged: Path, still: Still | None, watch: Watch | None) -> None:
        if watch is not None:
            watch.check()
        with still() if still is not None else nullcontext():
            subvolumes.copy(self.path_of(source), staged)

    def copy_volume(self, source: Held, target: Volume, still: Still | None = None, watch: Watch | None = None) -> None:
        """A snapshot; a mark of what its source was restored to may be in it, which says nothing of the copy."""
        if not self.has_volume(target):
            self._keep(source, target, still, watch)

    def copy_snapshot(self, source: Snapshot, target: Snapshot, watch: Watch | None = None) -> None:
        """A snapshot that nobody can write to."""
        if not self.has_snapshot(target):
            self._keep(source, target, None, watch)

    def replace_volume(
        self, source: Held, target: Volume, still: Still | None = None, watch: Watch | None = None
    ) -> None:
        """A snapshot changes places with it."""
        with self._making("storage volume") as staged:
            self._copy(source, staged, still, watch)
            self._exchange(staged, target)

    @contextmanager
    def opened(
        self, source: Held, still: Still | None = None, watch: Watch | None = None
    ) -> Generator[Path, None, None]:
        """The snapshot itself, or one of the volume that nobody knows."""
        if isinstance(source, Snapshot):
            yield self.path_of(source)
            return
        with self._making("snapshot") as staged:
            self._copy(source, staged, still, watch)
            yield staged

    @contextmanager
    def filling(self, target: Held, like: Held | None = None) -> Generator[Filling, None, None]:
        """A snapshot of what it is like, or an empty subvolume."""
        with self._making("storage volume") as staged:
            if like is not None:
                self._copy(like, staged, None, None)
                keep_root_alone(staged)
                Mountpoint(staged).make()
            else:
                self._born(staged, None)
            target = yield from Filling(staged).until_done(target)
            self.layout.flush()
            self._put(staged, target)

    def restore_snapshot(self, snapshot: Snapshot, mark: str) -> None:
        """A snapshot of the snapshot changes places with the volume."""
        with self._making("storage volume") as staged:
            self._copy(snapshot, staged, None, None)
            (staged / RESTORED).write_text(mark)
            self._exchange(staged, snapshot.volume)

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """At once; what nests others goes by the trash."""
        self.unmount_snapshot(snapshot)
        path = self.snapshot_path(snapshot)
        if path.is_dir():
            try:
                if not subvolumes.destroy_unless_nested(path):
                    subvolumes.set_read_only(path, False)  # what is not could not be moved
                    self.layout.trash.discard(path)
            except OSError as error:
                raise self.layout.failure("snapshot", error) from error
        self._tidy_snapshots(snapshot.volume)

    def mount_snapshot(self, snapshot: Snapshot) -> MountedRoot:
        """Show rootfs over itself, read-only."""
        path = self.snapshot_path(snapshot) / "rootfs"
        if not path.is_dir():
            raise NotFound("snapshot", snapshot.name)
        try:
            with self._mounting:
                if not mounts.is_mountpoint(path):
                    mounts.bind(path, path, readonly=True)
        except OSError as error:
            raise self.layout.failure("mount", error) from error
        return MountedRoot(path=path, idmapped=False)

    def snapshot_size(self, snapshot: Snapshot) -> int | None:
        """What would come free without it, where quotas are kept."""
        return self._subvolume_quotas.exclusive(self.snapshot_path(snapshot))

    def resize(self, volume: Volume, size: int) -> None:
        """The pool begins to keep quotas with the first size."""
        if not self.has_volume(volume):
            raise NotFound("storage pool volume", volume.name)
        self._subvolume_quotas.resize(self.volume_path(volume), size)

    def unheld(self, place: Held) -> AbstractContextManager[None]:
        """A volume's limit is a little higher meanwhile, a snapshot is not closed."""
        if isinstance(place, Snapshot):
            return subvolumes.writable(self.snapshot_path(place))
        return self._subvolume_quotas.unheld(self.volume_path(place))

    def figures(self, volume: Volume) -> Figures | None:
        """What can be seen in it, as its limit is of that; as of the last commit."""
        return self._subvolume_quotas.figures(self.volume_path(volume))
