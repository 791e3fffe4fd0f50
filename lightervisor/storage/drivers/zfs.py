"""ZFS: an instance is a dataset, made as a clone of its image's; all copies share what is the same.

Datasets are named as LXD's (`storage/zfs_datasets.py`), each mounted by the daemon where a pool of `dir` has a volume's
directory; owners on disk are plain, mounts in containers are id-mapped. Directories of the host stand for datasets:
what is there and what is not is known without asking ZFS, and is put right when the pool is brought up.
"""

import functools
import shutil
import threading
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import ClassVar

from lightervisor.config.key import key
from lightervisor.config.types import Bool, Size, Text, one_of
from lightervisor.errors import Conflict, NotFound, Unsupported
from lightervisor.kernel import mounts, process, zfs
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.project_quotas import Figures
from lightervisor.kernel.userns import namespace_of
from lightervisor.storage import shifted, zfs_bringing, zfs_source
from lightervisor.storage.driver import RESTORED, Filling, MountedRoot, Snapshot, Still, StorageDriver, Volume
from lightervisor.storage.layout import PoolUsage
from lightervisor.storage.mountpoint import Mountpoint, keep_root_alone
from lightervisor.storage.zfs_datasets import READONLY, SNAPSHOT, Datasets, Kept
from lightervisor.storage.zfs_making import BLOCKSIZE, CLONE, Fill, Make, Making
from lightervisor.storage.zfs_quotas import REFQUOTA, RESERVE, DatasetQuotas
from lightervisor.storage.zfs_source import Source

Held = Volume | Snapshot


class Zfs(StorageDriver, name="zfs"):
    """Datasets, snapshots and clones. Source: zfs(8), LXD's storage layout of zfs."""

    RANK, SHARES = 96, True
    keys: ClassVar = (
        key("size", Size, scope="pool.zfs", help="Size of the file that carries the pool; a fifth of what is free"),
        key(zfs_source.NAME, Text, scope="pool.zfs", help="The zpool, or a dataset in one; the pool's name when unset"),
        key(
            CLONE,
            one_of("true", "false", "rebase"),
            scope="pool.zfs",
            default="true",
            help="Whether copies share what is the same: with their source, with its image (rebase), or not at all",
        ),
        key(REFQUOTA, Bool, scope="pool.zfs", help="Whether sizes are of what is seen in a volume, without snapshots"),
        key(RESERVE, Bool, scope="pool.zfs", help="Whether the size of a volume is kept free for it"),
        key(BLOCKSIZE, Size, scope="pool.zfs", help="Largest block of new volumes, a power of two to 16MiB"),
    )

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        super().__init__(root, config)
        self.layout.trash.remove_tree = zfs_bringing.remove
        self._datasets = Datasets(Source(root, config).dataset, self.layout.trash)
        self._dataset_quotas = DatasetQuotas(self._datasets, config)
        self._making = Making(self.layout, self._datasets, self._dataset_quotas, config)
        self._mounting = threading.Lock()

    @classmethod
    def probe(cls, root: Path) -> None:
        """See that the kernel has it and its programs are there."""
        cause, remedy = "", "install the package zfsutils-linux"
        if shifted.is_needed():
            cause, remedy = "this is a container, which cannot mount ZFS", "use dir or overlay"
        elif not zfs.is_there():
            cause, remedy = "the kernel has no ZFS", "load its module (modprobe zfs); its package is zfs-dkms"
        elif missing := [one for one in zfs.PROGRAMS if not shutil.which(one, path=process.ENVIRONMENT["PATH"])]:
            cause = f"the program {missing[0]} is not installed"
        if cause:
            raise Unsupported("storage driver", cls.name, cause=cause, remedy=remedy)

    @classmethod
    def completed(cls, root: Path, wanted: Mapping[str, str]) -> dict[str, str]:
        """A file of ours, a block device, or an empty zpool or dataset: all of which only ZFS can tell."""
        cls.probe(root)
        try:
            return zfs_source.completed(root, wanted)
        except OSError as error:
            raise cls(root, wanted).layout.failure("storage pool", error) from error

    @classmethod
    def found(cls, root: Path, config: Mapping[str, str]) -> StorageDriver:
        """Imported and mounted, to be looked into."""
        cls.probe(root)
        driver = cls(root, zfs_source.found(root, config))
        with driver.layout.failures("storage pool"):
            Source(root, driver.config).look()
            zfs_bringing.bring(driver.layout, driver._datasets)
        return driver

    def create(self) -> None:
        """Import it, make the directories agree with the datasets, and mount those."""
        with self.layout.failures("storage pool"):
            Source(self.layout.root, self.config).attach()
            zfs_bringing.bring(self.layout, self._datasets)

    def reconfigure(self, config: Mapping[str, str]) -> None:
        """A larger file at once; the rest with what is done next."""
        with self.layout.failures("storage pool"):
            Source(self.layout.root, self.config).reconfigure(config)

    def delete(self) -> None:
        """Destroy the datasets, and the file that carries them."""
        self.layout.check_no_volumes()
        self.layout.trash.wait()
        with self.layout.failures("storage pool"):
            zfs_bringing.unmount_below(self.layout.root)
            Source(self.layout.root, self.config).remove()
        self.layout.remove()

    def create_image(self, fingerprint: str, unpack: Fill) -> None:
        """Keep it as a snapshot of all that an instance of it needs to begin with."""
        place = self.layout.image_path(fingerprint)
        if place.is_dir():
            return
        with self.layout.failures("image"):
            is_there = self._datasets.revive_image(fingerprint)
        if not is_there:
            with self._making.new("image", self._making.empty) as made:
                self._making.fill(made, unpack, "image")
                self._making.place_image(made, fingerprint)
        place.mkdir(mode=0o700, exist_ok=True)

    def delete_image(self, fingerprint: str) -> None:
        """Out of sight; it is destroyed with its last clone."""
        place = self.layout.image_path(fingerprint)
        if place.is_dir():
            with self.layout.failures("image"):
                self._datasets.discard(self._datasets.image(fingerprint))
                place.rmdir()

    def has_volume(self, volume: Volume) -> bool:
        """Whether it is there, which is so when it is mounted."""
        return (self.volume_path(volume) / "rootfs").is_dir()

    def create_volume(self, volume: Volume, image: str | None) -> None:
        """A clone of the image."""
        if self.has_volume(volume):
            return
        if image is None:
            with self._making.new("storage volume", self._making.empty) as made:
                Mountpoint(made.directory).make()
                self._making.place(made, volume)
            return
        with self.layout.failures("storage volume"):
            self._making.clone(self._image(image), self._datasets.of(volume))
            self._making.show(volume)

    def _image(self, image: str) -> str:
        if not self.has_image(image):
            raise NotFound("image", image, text=f"Image {image} is not in this storage pool")
        return f"{self._datasets.image(image)}@{READONLY}"

    def rebuild_volume(self, volume: Volume, image: str | None, mark: str) -> None:
        """A clone of the other image takes its place."""
        if not self.has_volume(volume):
            raise NotFound("storage pool volume", volume.name)
        source = None if image is None else self._image(image)

        def make(dataset: str) -> None:
            self._making.clone(source, dataset) if source else self._making.empty(dataset)

        self._become(volume, make, mark)

    def _become(self, volume: Volume, make: Make, mark: str = "") -> None:
        with self._making.new("storage volume", make) as made:
            Mountpoint(made.directory).make()
            if mark:
                (made.directory / RESTORED).write_text(mark)
            self.unmount(volume)
            self._making.replace(made, volume)

    def fill_volume(self, volume: Volume, fill: Fill) -> None:
        """Let it be filled."""
        if not self.has_volume(volume):
            self._fill(volume, fill)

    def fill_snapshot(self, snapshot: Snapshot, fill: Fill) -> None:
        """Let it be filled."""
        if not self.has_snapshot(snapshot):
            self._fill(snapshot, fill)

    def _fill(self, target: Held, fill: Fill) -> None:
        with self._making.new("storage volume", self._making.empty) as made:
            self._making.fill(made, fill)
            self._making.place(made, target)

    def delete_volume(self, volume: Volume) -> None:
        """Out of sight; it is destroyed with its last clone."""
        place, snapshots = self.volume_path(volume), self._snapshots_of(volume)
        with self.layout.failures("storage volume"):
            if place.is_dir():
                self.unmount(volume)
                self._datasets.discard(self._datasets.of(volume))
                mounts.umount(place, lazy=True)
                place.rmdir()
            if snapshots.is_dir():
                self._datasets.discard(self._datasets.elsewhere(volume))
                zfs_bringing.remove(snapshots)

    def rename_volume(self, volume: Volume, new: Volume) -> None:
        """The dataset, what has snapshots of it, and their directories."""
        with self.layout.failures("storage volume"):
            zfs_bringing.rename(self.layout, self._datasets, volume, new)
            self._making.show(new)
            if self._snapshots_of(volume).is_dir():
                with suppress(FileNotFoundError):
                    zfs.rename(self._datasets.elsewhere(volume), self._datasets.elsewhere(new))
                self._snapshots_of(volume).rename(self._snapshots_of(new))

    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Show rootfs over itself with the owners of the map; without a map it is used as it is."""
        point = Mountpoint(self.volume_path(volume))
        if not point.path.is_dir():  # it is not there, or somebody has taken its mount away
            if not self.volume_path(volume).is_dir():
                raise NotFound("storage pool volume", volume.name)
            with self.layout.failures("mount"):
                self._making.show(volume)

        def attach() -> None:
            if idmap is not None:
                mounts.bind_idmapped(point.path, point.path, namespace_of(idmap))

        with self.layout.failures("mount"), self._mounting, self.unheld(volume):
            point.ensure(idmap, attach)
        return MountedRoot(path=point.path, idmapped=idmap is not None)

    def open_volume(self, volume: Volume) -> int:
        """The directory itself."""
        return self.layout.open_directory(self.volume_path(volume) / "rootfs")

    # Snapshots and copies

    def create_snapshot(self, snapshot: Snapshot, still: Still | None = None) -> None:
        """A snapshot of the dataset; guests are held still although it is of one moment."""
        if self.has_snapshot(snapshot):
            return
        if not self.has_volume(snapshot.volume):
            raise NotFound("storage pool volume", snapshot.volume.name)
        with self.layout.failures("snapshot"):
            with still() if still is not None else nullcontext(), suppress(FileExistsError):
                zfs.snapshot(f"{self._datasets.of(snapshot.volume)}@{SNAPSHOT}{snapshot.name}")
            self._making.note(snapshot)

    def restore_snapshot(self, snapshot: Snapshot, mark: str) -> None:
        """A clone of the snapshot takes the volume's place, and has that snapshot and those before it then."""
        with self.layout.failures("snapshot"):
            kept = self._where(snapshot)
            self._become(snapshot.volume, lambda dataset: self._making.clone(kept.full, dataset), mark)
            self._making.take_history(snapshot.volume)

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """Out of sight; it is destroyed with its last clone."""
        if self.snapshot_path(snapshot).is_dir():
            with self.layout.failures("snapshot"):
                self.unmount_snapshot(snapshot)
                self._datasets.discard_snapshot(snapshot)
                self.snapshot_path(snapshot).rmdir()
        self._tidy_snapshots(snapshot.volume)

    def rename_snapshot(self, snapshot: Snapshot, name: str) -> None:
        """In its dataset, and its directory."""
        new = Snapshot(snapshot.volume, name)
        if not self.has_snapshot(snapshot) and self.has_snapshot(new):
            return
        if self.has_snapshot(new):
            raise Conflict("snapshot", name, cause="this name is taken", remedy="choose another name")
        with self.layout.failures("snapshot"):
            kept = self._where(snapshot)
            zfs.rename(kept.full, Kept(kept.dataset, SNAPSHOT + name).full)
            self.snapshot_path(snapshot).rename(self.snapshot_path(new))

    def mount_snapshot(self, snapshot: Snapshot) -> MountedRoot:
        """Mount it in its place."""
        place = self.snapshot_path(snapshot)
        with self.layout.failures("mount"), self._mounting:
            if not mounts.is_mountpoint(place):
                zfs.mount(self._where(snapshot).full, place, readonly=True)
        return MountedRoot(path=place / "rootfs", idmapped=False)

    def unmount_snapshot(self, snapshot: Snapshot) -> None:
        """From its place."""
        with self.layout.failures("mount"):
            if self.has_snapshot(snapshot):
                mounts.umount(self.snapshot_path(snapshot), lazy=True)

    def _where(self, snapshot: Snapshot) -> Kept:
        found = self._datasets.where(snapshot) if self.has_snapshot(snapshot) else None
        if found is None:
            raise NotFound("snapshot", snapshot.name)
        return found

    @contextmanager
    def _moment(self, source: Held, still: Still | None, watch: Watch | None) -> Generator[Kept, None, None]:
        """What a volume or snapshot holds, as a snapshot in ZFS."""
        if watch is not None:
            watch.check()
        if isinstance(source, Snapshot):
            yield self._where(source)
            return
        if not self.has_volume(source):
            raise NotFound("storage pool volume", source.name)
        with still() if still is not None else nullcontext():
            kept = self._datasets.moment(self._datasets.of(source))
        try:
            yield kept
        finally:
            self._datasets.release(kept)

    def copy_volume(self, source: Held, target: Volume, still: Still | None = None, watch: Watch | None = None) -> None:
        """A clone; a mark of what its source was restored to may be in it, which says nothing of the copy."""
        if not self.has_volume(target):
            self._copy(source, target, still, watch)

    def copy_snapshot(self, source: Snapshot, target: Snapshot, watch: Watch | None = None) -> None:
        """A clone of its own, as it is of another dataset's history, with a snapshot."""
        if not self.has_snapshot(target):
            self._copy(source, target, None, watch)

    def _copy(self, source: Held, target: Held, still: Still | None, watch: Watch | None) -> None:
        with self.layout.failures("storage volume"), self._moment(source, still, watch) as kept:
            self._making.unseen(lambda dataset: self._making.copy(kept, dataset), target)

    def replace_volume(
        self, source: Held, target: Volume, still: Still | None = None, watch: Watch | None = None
    ) -> None:
        """A clone takes its place."""
        with self.layout.failures("storage volume"), self._moment(source, still, watch) as kept:
            self._become(target, lambda dataset: self._making.copy(kept, dataset))

    @contextmanager
    def opened(
        self, source: Held, still: Still | None = None, watch: Watch | None = None
    ) -> Generator[Path, None, None]:
        """A snapshot, of a volume one that nobody knows, mounted where nobody sees it."""
        with (
            self.layout.failures("snapshot"),
            self._moment(source, still, watch) as kept,
            self._making.looked_into(kept) as place,
        ):
            yield place

    @contextmanager
    def filling(self, target: Held, like: Held | None = None) -> Generator[Filling, None, None]:
        """A clone of what it is like, or an empty dataset."""
        with ExitStack() as stack:
            make = self._making.empty
            if like is not None:
                kept = stack.enter_context(self._moment(like, None, None))
                make = functools.partial(self._making.clone, kept.full)
            made = stack.enter_context(self._making.new("storage volume", make))
            keep_root_alone(made.directory)
            Mountpoint(made.directory).make()
            target = yield from Filling(made.directory).until_done(target)
            if isinstance(target, Volume) and self.has_volume(target):
                self.unmount(target)
                self._making.replace(made, target)
            else:
                self._making.place(made, target)

    # Sizes

    def usage(self) -> PoolUsage:
        """Of the whole dataset; ZFS has no number of inodes."""
        with self.layout.failures("storage pool"):
            told = zfs.get(self._datasets.base, "used", "available")
        used, free = int(told["used"]), int(told["available"])
        return PoolUsage(space_used=used, space_total=used + free, inodes_used=0, inodes_total=0)

    def size(self, volume: Volume) -> int:
        """What would come free without it, snapshots included."""
        with self.layout.failures("storage volume"):
            zfs.flush_pool(self._datasets.base.partition("/")[0])
            return int(zfs.get(self._datasets.of(volume), "used")["used"])

    def snapshot_size(self, snapshot: Snapshot) -> int | None:
        """What would come free without it."""
        with self.layout.failures("snapshot"):
            return int(zfs.get(self._where(snapshot).full, "used")["used"])

    def resize(self, volume: Volume, size: int) -> None:
        """By `quota`, or `refquota`."""
        if not self.has_volume(volume):
            raise NotFound("storage pool volume", volume.name)
        self._dataset_quotas.resize(volume, size)

    def unheld(self, place: Held) -> AbstractContextManager[None]:
        """A volume's limit is a little higher meanwhile, if it is full. Raises Unsupported for a snapshot."""
        if isinstance(place, Snapshot):
            cause, remedy = "nothing can be put into a snapshot of zfs, as memory has to be", "leave out --stateful"
            raise Unsupported("snapshot", place.name, cause=cause, remedy=remedy)
        return self._dataset_quotas.unheld(place, self.volume_path(place))

    def figures(self, volume: Volume) -> Figures | None:
        """What it takes, as of the last transaction."""
        return self._dataset_quotas.figures(volume)
