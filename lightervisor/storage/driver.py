"""The contract of a storage driver.

A driver is one file in `drivers/`, one class, one name. It keeps the volumes of one pool under a directory of the
host, in LXD's layout (`layout.py`), and knows one mechanism; it knows no rows, no projects and no instances.

Life cycle of a pool. `probe` says whether this host and file system can carry the driver at all. `create` makes the
pool's directories, and repairs them: it is called when the pool is made and again at each start of the daemon, before
anything else uses the pool, when it also throws away what a killed daemon left half made. `delete` takes everything
off the disk, and refuses while there are volumes.

Life cycle of an image. `create_image` hands an empty directory to `unpack`, which fills it with `rootfs`, and with
`metadata.yaml` and `templates` where the image has them, all with their real owners. `delete_image` takes it away;
volumes made from it are not affected, whatever the mechanism shares behind the curtain.

Life cycle of a volume. `create_volume` makes it from an image, or empty; its directory holds `rootfs`, and copies of
`metadata.yaml` and `templates` that belong to the volume. `fill_volume` makes it of a tree like an image's, all of
which is the volume's own then; `fill_snapshot` makes a snapshot so, which is how backups come back. `mount` makes
`rootfs` show the files for an id map: on disk owners are plain, seen through the mount they are the map's. What another
map mounted is mounted again. `unmount` takes it away, also when someone still has a file open in it. A volume is
renamed and deleted unmounted.
`rebuild_volume` makes it again from another image, or empty; its snapshots stay what they are.

Life cycle of a snapshot. `create_snapshot` keeps what a volume holds now, with its metadata.yaml and templates; nothing
that is done to the volume afterwards changes it. `restore_snapshot` makes an unmounted volume what it was then;
snapshots are not affected. `mount_snapshot` shows its files, which nobody can write to. Snapshots follow their volume
when it is renamed, and go when it is deleted. What is written while a snapshot is made is in it or not: who wants the
files of one moment says how the volume's user is held still (`still`), which is done for as short as the driver can.

Copies in one pool. `copy_volume` makes a volume of what another one holds, or a snapshot; `copy_snapshot` makes a
snapshot of what another one keeps, before or after its volume. Neither knows the other afterwards: each may be changed
and deleted, in any order. Both go as fast as the mechanism can; a `watch` is told of bytes and may end what takes long.
`replace_volume` makes an unmounted volume what another, or a snapshot, holds; its own snapshots are not affected.

Files from elsewhere. `opened` shows what a volume or snapshot held at one moment, for whoever carries it to another
pool or server. `filling` is a place for such files: with what it is `like` in it at first, so that only differences
have to be written; when it ends well they take the place of what was there at once, by `PostponedError` they become
another volume's, else nothing has happened.

Sizes. Where the pool keeps quotas a volume is told how much it may take (`resize`), and what it takes is known at once
(`figures`); elsewhere a size is accepted without effect, as on LXD, and that is said in the log.

Promises. An image, volume or snapshot is there whole or not at all, also when the process is killed in the middle of
any method; deleting is instant and the removing of files happens behind. Owners on disk never depend on the id map, so
that volumes are shared, copied and published without shifting. Nobody but root and the map's root can reach into a
volume, so that a setuid program written by a guest is of no use to a user of the host.

Twice. Every method may be called again: creating what exists and deleting, unmounting or renaming what is gone
already changes nothing. Errors are HostError (quoting the kernel), NotFound for a missing image or volume, Conflict
when a name is taken or a pool has volumes, Unsupported from `probe`; each leaves the pool as it was. Plain blocking
functions, safe to call from several threads; one object per pool.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import ClassVar, get_args

from lightervisor.config.key import Key
from lightervisor.drivers import load
from lightervisor.errors import Invalid, NotFound
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.moments import Still
from lightervisor.kernel.project_quotas import Figures
from lightervisor.storage.keys import pool_keys
from lightervisor.storage.layout import PoolLayout, PoolUsage
from lightervisor.storage.mountpoint import MountedRoot, Mountpoint
from lightervisor.storage.place import completed
from lightervisor.storage.quotas import PoolQuotas
from lightervisor.storage.volume import PASSING, Filling, Snapshot, Volume, VolumeKind

__all__ = ("Filling", "Snapshot", "Still", "StorageDriver", "Volume", "VolumeKind", "storage_driver", "storage_drivers")

RESTORED = "restored"


class StorageDriver(ABC):
    """One pool. `root` is $LXD_DIR/storage-pools/<pool>; `config` is the pool's, checked already."""

    name: ClassVar[str] = ""
    keys: ClassVar[tuple[Key, ...]] = ()
    FOLDERS: ClassVar[Mapping[str, int]] = {}
    """Directories of the pool that only this driver has, with their modes."""
    VERSION: ClassVar[str] = "1"
    SHARES: ClassVar[bool] = False
    """Whether what is filled knowing what it is like shares with that what stays the same."""
    RANK: ClassVar[int] = 100
    """The smaller, the sooner it is chosen for a new pool."""

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        self.layout = PoolLayout(root, self.FOLDERS)
        self.config = config
        self._quotas = PoolQuotas(self.layout)
        self.layout.settle, self.layout.replaced = self._quotas.settle, self._quotas.forget_of

    def __init_subclass__(cls, *, name: str) -> None:
        super().__init_subclass__()
        if name in _DRIVERS:
            raise ValueError(f"storage driver {name} is declared twice")
        cls.name = name
        cls.keys = (*pool_keys(cls.scope()), *cls.keys)
        _DRIVERS[name] = cls

    @classmethod
    def scope(cls) -> str:
        """The scope of this driver's keys in the registry."""
        return f"pool.{cls.name}"

    # What the mechanism decides

    @classmethod
    @abstractmethod
    def probe(cls, root: Path) -> None:
        """Raise Unsupported with the reason when a pool at `root` (which need not exist yet) would not work."""

    @classmethod
    def completed(cls, root: Path, wanted: Mapping[str, str]) -> dict[str, str]:
        """The configuration of a new pool that asks for this, with its source. Raises Invalid, Conflict."""
        return completed(root, wanted)

    @classmethod
    def found(cls, root: Path, config: Mapping[str, str]) -> "StorageDriver":
        """A pool that no row tells of, to be looked into; its `config` says where it is. Raises HostError, Invalid."""
        place = Path(config.get("source") or root)
        return cls(place, {**config, "source": str(place)})

    @abstractmethod
    def create(self) -> None:
        """Make or repair the pool's directories, and throw away what was left half made."""

    @abstractmethod
    def delete(self) -> None:
        """Remove the pool with its images. Raises Conflict while it has volumes."""

    def abandon(self) -> None:
        """Remove what there is of one whose making failed, however far that came."""
        self.delete()

    @abstractmethod
    def create_image(self, fingerprint: str, unpack: Callable[[Path], None]) -> None:
        """Keep an image for volumes to be made from; `unpack` is not called when the pool has it."""

    @abstractmethod
    def delete_image(self, fingerprint: str) -> None:
        """Forget an image."""

    @abstractmethod
    def create_volume(self, volume: Volume, image: str | None) -> None:
        """Make a volume from an image of the pool, or an empty one."""

    @abstractmethod
    def rebuild_volume(self, volume: Volume, image: str | None, mark: str) -> None:
        """Make an unmounted volume what `create_volume` would; from that moment on `restored` answers with the mark."""

    @abstractmethod
    def fill_volume(self, volume: Volume, fill: Callable[[Path], None]) -> None:
        """Make a volume of what `fill` puts into an empty directory; what it has on this file system it may rename."""

    @abstractmethod
    def fill_snapshot(self, snapshot: Snapshot, fill: Callable[[Path], None]) -> None:
        """Make a snapshot so, of a volume that need not be there yet."""

    @abstractmethod
    def delete_volume(self, volume: Volume) -> None:
        """Remove a volume with its snapshots, unmounting what is mounted."""

    @abstractmethod
    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Make the files visible for an id map, or with their plain owners."""

    @abstractmethod
    def open_volume(self, volume: Volume) -> int:
        """A descriptor of a custom volume's root, with its plain owners: the caller's to close; what is shown stays."""

    @abstractmethod
    def size(self, volume: Volume) -> int:
        """Bytes on disk that belong to this volume alone."""

    @abstractmethod
    def create_snapshot(self, snapshot: Snapshot, still: Still | None = None) -> None:
        """Keep what a volume holds now. Without `still` nobody writes to it, as far as the caller knows."""

    @abstractmethod
    def restore_snapshot(self, snapshot: Snapshot, mark: str) -> None:
        """Make an unmounted volume what it was; from that moment on `restored` answers with the mark."""

    @abstractmethod
    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """Remove a snapshot, unmounting it if need be."""

    @abstractmethod
    def mount_snapshot(self, snapshot: Snapshot) -> MountedRoot:
        """Make the files visible with their plain owners, for reading only."""

    @abstractmethod
    def snapshot_size(self, snapshot: Snapshot) -> int | None:
        """Bytes on disk that were written since the snapshot before; None where telling takes long."""

    @abstractmethod
    def copy_volume(
        self, source: Volume | Snapshot, target: Volume, still: Still | None = None, watch: Watch | None = None
    ) -> None:
        """Make a volume, without snapshots, of what a volume or snapshot of this pool holds; `still` as above."""

    @abstractmethod
    def copy_snapshot(self, source: Snapshot, target: Snapshot, watch: Watch | None = None) -> None:
        """Make a snapshot of what another of this pool keeps."""

    @abstractmethod
    def replace_volume(
        self, source: Volume | Snapshot, target: Volume, still: Still | None = None, watch: Watch | None = None
    ) -> None:
        """Make an unmounted volume of this pool what another volume or a snapshot of it holds."""

    @abstractmethod
    def opened(
        self, source: Volume | Snapshot, still: Still | None = None, watch: Watch | None = None
    ) -> AbstractContextManager[Path]:
        """A directory as a volume's, whose `rootfs` shows what was there at one moment, with plain owners, to be read.

        Who writes is held still meanwhile, or for as short as the driver can. Of what a driver keeps beside the root
        file system there is a directory `plain` (`storage/plain.py`).
        """

    @abstractmethod
    def filling(
        self, target: Volume | Snapshot, like: Volume | Snapshot | None = None
    ) -> AbstractContextManager[Filling]:
        """A place for the files of a volume or snapshot that is made or, when it is there and unmounted, replaced."""

    # What the layout answers for every driver

    def keeper(self, kind: VolumeKind) -> "StorageDriver":
        """Who is to be asked for all that is done to volumes of a kind, and their snapshots: mostly this driver."""
        return self

    def reconfigure(self, config: Mapping[str, str]) -> None:  # noqa: B027 - most have nothing to do
        """Do at once what a new configuration, which is checked, asks for. Raises Invalid, HostError."""

    def changes_owners(self) -> bool:
        """Whether `mount` changes the owners of files on disk, where the kernel cannot show others."""
        return False

    def resize(self, volume: Volume, size: int) -> None:
        """Let a volume take at most so many bytes, 0 for no limit, from now on.

        Where the pool keeps no quotas that is said in the log, and nothing is done. Raises Failure with LXD's text
        when it takes more already, HostError.
        """
        whose = f"{'volume' if volume.kind == 'custom' else 'instance'} {volume.name}"
        self._quotas.resize(self.volume_path(volume), size, whose, lambda: self._own_directories(volume))

    def unheld(self, place: Volume | Snapshot) -> AbstractContextManager[None]:
        """While this lasts the daemon may write beside the root of a volume or snapshot, though full or closed."""
        return nullcontext()

    def figures(self, volume: Volume) -> Figures | None:
        """What a volume takes and may take, at once; None where the pool keeps no quotas."""
        return self._quotas.figures(self.volume_path(volume))

    def _own_directories(self, volume: Volume) -> list[Path]:
        """The directories that hold what belongs to a volume alone."""
        return [self.volume_path(volume)]

    def usage(self) -> PoolUsage:
        """Space and inodes of the pool's file system."""
        return self.layout.usage()

    def has_image(self, fingerprint: str) -> bool:
        """Whether volumes can be made from an image."""
        return self.layout.has_image(fingerprint)

    def images(self) -> list[str]:
        """Fingerprints of the images in the pool."""
        return self.layout.images()

    def has_volume(self, volume: Volume) -> bool:
        """Whether a volume is there."""
        return self.volume_path(volume).is_dir()

    def volumes(self, kind: VolumeKind) -> list[Volume]:
        """The volumes of a kind, by name, without those that are still arriving."""
        return [Volume(kind, name) for name in self.layout.entries(kind) if not name.startswith(PASSING)]

    def drop_passing(self) -> None:
        """Remove the volumes that are still arriving: nobody brings anything into the pool any more."""
        for name in self.layout.entries("containers"):
            if name.startswith(PASSING):
                self.delete_volume(Volume("containers", name))

    def source(self) -> Path | None:
        """The directory of the host that the pool's own shows, None when it lives in its own."""
        source = self.config.get("source", "")
        return Path(source) if source and Path(source) != self.layout.root else None

    def volume_path(self, volume: Volume) -> Path:
        """The volume's directory, which holds rootfs, metadata.yaml, templates and backup.yaml."""
        return self.layout.root / volume.kind / volume.name

    def rename_volume(self, volume: Volume, new: Volume) -> None:
        """Give an unmounted volume, with its snapshots, another name."""
        self.layout.rename(self.volume_path(volume), self.volume_path(new))
        if self._snapshots_of(volume).is_dir():
            self.layout.rename(self._snapshots_of(volume), self._snapshots_of(new))

    def unmount(self, volume: Volume) -> None:
        """Take the mount out of sight at once; the kernel's flush of it goes on behind."""
        self._let_go(self.volume_path(volume))

    def snapshot_path(self, snapshot: Snapshot) -> Path:
        """The snapshot's directory, which holds rootfs, metadata.yaml and templates."""
        return self._snapshots_of(snapshot.volume) / snapshot.name

    def path_of(self, source: Volume | Snapshot) -> Path:
        """The directory of a volume or a snapshot. Raises NotFound when it is not there."""
        found = self._directory_of(source)
        if not found.is_dir():
            raise NotFound("storage pool volume" if isinstance(source, Volume) else "snapshot", source.name)
        return found

    def _directory_of(self, place: Volume | Snapshot) -> Path:
        return self.volume_path(place) if isinstance(place, Volume) else self.snapshot_path(place)

    def has_snapshot(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot is there."""
        return self.snapshot_path(snapshot).is_dir()

    def snapshots(self, volume: Volume) -> list[Snapshot]:
        """The snapshots of a volume, by name."""
        return [Snapshot(volume, name) for name in self.layout.entries(f"{volume.kind}-snapshots/{volume.name}")]

    def rename_snapshot(self, snapshot: Snapshot, name: str) -> None:
        """Give a snapshot that is not mounted another name."""
        new = Snapshot(snapshot.volume, name)
        self.layout.rename(self.snapshot_path(snapshot), self.snapshot_path(new))

    def unmount_snapshot(self, snapshot: Snapshot) -> None:
        """Take a snapshot's mount away."""
        self._let_go(self.snapshot_path(snapshot))

    def restored(self, volume: Volume) -> str:
        """The mark of the restore or rebuild that made a volume what it is, "" when there was none."""
        try:
            return (self.volume_path(volume) / RESTORED).read_text()
        except FileNotFoundError:
            return ""

    def _place(self, staged: Path, target: Volume | Snapshot) -> None:
        """Put what was made where it belongs, unless something is there."""
        if isinstance(target, Snapshot):
            self._snapshots_of(target.volume).mkdir(mode=0o700, exist_ok=True)
        self.layout.place(staged, self._directory_of(target))

    def _tidy_snapshots(self, volume: Volume) -> None:
        """Take away the directory of a volume's snapshots when the last is gone."""
        with suppress(OSError):  # others are there
            self._snapshots_of(volume).rmdir()

    def _tidy_all_snapshots(self) -> None:
        """The pool is made or repaired: nobody reads a snapshot, and volumes without any have no directory of them."""
        for kind in get_args(VolumeKind):
            for name in self.layout.entries(f"{kind}-snapshots"):
                for snapshot in self.snapshots(Volume(kind, name)):
                    self.unmount_snapshot(snapshot)
                self._tidy_snapshots(Volume(kind, name))

    def _snapshots_of(self, volume: Volume) -> Path:
        return self.layout.root / f"{volume.kind}-snapshots" / volume.name

    def _let_go(self, directory: Path) -> None:
        """Take the mount of a volume's or snapshot's directory out of sight; the kernel's flush goes on behind."""
        try:
            let_go = Mountpoint(directory).release()
        except OSError as error:
            raise self.layout.failure("mount", error) from error
        if let_go is not None:
            self.layout.trash.behind(let_go)


_DRIVERS: dict[str, type[StorageDriver]] = {}


@functools.cache
def storage_drivers() -> Mapping[str, type[StorageDriver]]:
    """Every driver by its name, found by listing the folder; a misnamed or duplicate one raises ValueError."""
    for name in load(f"{__package__}.drivers"):
        if name not in _DRIVERS:
            raise ValueError(f"drivers/{name}.py declares no storage driver of that name")
    return _DRIVERS


def storage_driver(name: str) -> type[StorageDriver]:
    """The driver of a name. Raises Invalid."""
    found = storage_drivers().get(name)
    if found is None:
        known = ", ".join(sorted(storage_drivers()))
        raise Invalid("storage driver", name, text=f'Unknown driver "{name}"', remedy=f"known are: {known}")
    return found
