"""Overlay: an instance is one writable layer over its image's tree; made and deleted in constant time.

An image is unpacked once, with its real owners. A volume writes to a layer of its own and lies on others
(`storage/layers.py`), so that the pool alone tells what it is made of (docs/adr/0003). A snapshot of a volume at rest
takes that layer as it is, and the volume gets a new one above it; of one in use, the layer is copied. All is brought
in through id-mapped mounts (`kernel/overlay.py`), so owners on disk are plain. Custom volumes are kept as `dir` does.
"""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from lightervisor.errors import HostError, NotFound, Unsupported
from lightervisor.kernel import copies, fsinfo, moments, mounts, overlay, paths
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.moments import Copied, Still
from lightervisor.storage import layers, plain, probe
from lightervisor.storage.driver import RESTORED, Filling, MountedRoot, Snapshot, StorageDriver, Volume, VolumeKind
from lightervisor.storage.drivers.dir import Dir
from lightervisor.storage.flattening import Flattening
from lightervisor.storage.layers import Chain, PoolLayers
from lightervisor.storage.mountpoint import Mountpoint
from lightervisor.storage.plain import PlainDirectories, PlainDirectory

Fill = Callable[[Path], None]
Held = Volume | Snapshot
HIGHEST = 50
"""Trees below a volume, above which its layer is copied: the kernel allows 500, each makes a mount a little slower."""


class Overlay(StorageDriver, PlainDirectories, name="overlay"):
    """Layers on any file system that carries overlayfs and id-mapped mounts. Source: kernel, overlayfs.rst."""

    FOLDERS: ClassVar = {layers.FOLDER: 0o700}
    RANK, SHARES = 10, True

    def __init__(self, root: Path, config: Mapping[str, str]) -> None:
        super().__init__(root, config)
        self._layers = PoolLayers(self.layout, self._quotas)
        self._flattening, self._mounting = Flattening(self.layout, self._layers), threading.Lock()
        self._customs = Dir(root, config)
        self._customs.layout = self.layout  # one trash for all

    @classmethod
    def probe(cls, root: Path) -> None:
        """Mount a small overlay for an id map, and write to it and over it."""
        if fsinfo.type_name(fsinfo.existing_parent(root)) == "overlay":
            cause = f"{root} is on overlayfs, which cannot carry another one"
            raise Unsupported("storage driver", cls.name, cause=cause, remedy="use dir, or give a source elsewhere")
        with probe.trying(cls.name, root) as place:
            for name in ("lower/old", "top/upper", "top/work", "target", "scratch"):
                (place / name).mkdir(parents=True)
            trees = overlay.Layers(lowers=[place / "lower"], top=place / "top")
            overlay.mount(trees, place / "target", probe.MAP, scratch=place / "scratch")
            probe.check_writable(place / "target")
            (place / "target/old").rename(place / "target/new")

    def create(self) -> None:
        """Make the directories."""
        self.layout.prepare(self.source())
        self._tidy_all_snapshots()
        self._layers.lay_bare("custom")
        self._layers.sweep()
        self._flattening.begin()

    def delete(self) -> None:
        """Remove the directories."""
        self.layout.remove()

    def create_image(self, fingerprint: str, unpack: Callable[[Path], None]) -> None:
        """Keep it unpacked; one that was deleted while volumes lie on it comes back without unpacking."""
        target = self.layout.image_path(fingerprint)
        with self._layers.lock:
            if target.is_dir():
                self.layout.tombstone(fingerprint).unlink(missing_ok=True)
                return
        with self.layout.making("image") as staged:
            unpack(staged)
            self.layout.check_image(staged)
            self.layout.flush()
            self.layout.place(staged, target)

    def delete_image(self, fingerprint: str) -> None:
        """Hide it while volumes lie on it; it goes with the last of them."""
        with self._layers.lock:
            if self.layout.image_path(fingerprint).is_dir():
                self.layout.tombstone(fingerprint).touch()
                self._reap(fingerprint)

    def create_volume(self, volume: Volume, image: str | None) -> None:
        """Make an empty layer over the image's tree."""
        with self._layers.lock, self.layout.making("storage volume") as staged:
            if self.has_volume(volume):
                return
            with self._born(image, staged, volume):
                self.layout.place(staged, self.volume_path(volume))

    @contextmanager
    def _born(self, image: str | None, staged: Path, volume: Volume) -> Generator[None, None, None]:
        """A new volume in a directory, to be put where it belongs while the context lasts; the layers' lock is held."""
        if image is not None and not self.has_image(image):
            raise NotFound("image", image, text=f"Image {image} is not in this storage pool")
        project, lowers = self._quotas.begin_for(staged, self.volume_path(volume)), list[str]()
        if image is not None:
            lowers = [f"images/{image}/rootfs"]
            self.layout.copy_beside(self.layout.image_path(image), staged)
        Mountpoint(staged).make()
        with self._layers.new(lowers, project) as top:
            self._layers.write(staged, Chain(image=image or "", top=top, lowers=lowers))
            yield

    def rebuild_volume(self, volume: Volume, image: str | None, mark: str) -> None:
        """Another volume changes places with it; the layers that no snapshot has go."""
        directory, making = self.volume_path(volume), self.layout.making("storage volume")
        with self._layers.reading():
            before = self._layers.read(directory)
            with self._layers.lock, making as staged, self._born(image, staged, volume):
                (staged / RESTORED).write_text(mark)
                self.unmount(volume)
                self.layout.exchange(staged, directory)
        self._drop(before)

    def fill_volume(self, volume: Volume, fill: Fill) -> None:
        """Let the volume's own layer be filled, over nothing."""
        if self.has_volume(volume):
            return
        with self.layout.making("storage volume") as staged, self._filled(staged, fill, volume) as layer:
            self._layers.write(staged, Chain(top=layer))
            self.layout.place(staged, self.volume_path(volume))

    def fill_snapshot(self, snapshot: Snapshot, fill: Fill) -> None:
        """Let a layer of the snapshot's own be filled, over nothing."""
        if self.has_snapshot(snapshot):
            return
        with self.layout.making("snapshot") as staged, self._filled(staged, fill, snapshot) as layer:
            self._layers.write(staged, Chain(lowers=[f"{layer}/upper"]))
            self._place(staged, snapshot)

    @contextmanager
    def _filled(self, staged: Path, fill: Fill, target: Held) -> Generator[str, None, None]:
        project = self._begin(staged, target)
        fill(staged)
        self.layout.flush()
        with self._layers.taken(staged / "rootfs", project) as layer:
            Mountpoint(staged).make()
            yield layer

    def delete_volume(self, volume: Volume) -> None:
        """Into the trash with its snapshots, and its image too when that is deleted and nothing else lies on it."""
        if self.has_volume(volume):
            self.unmount(volume)
            project = self._quotas.project(self.volume_path(volume))
            self._discard(self.volume_path(volume))
            self._quotas.forget(project)
        for snapshot in self.snapshots(volume):
            self.delete_snapshot(snapshot)
        self._tidy_snapshots(volume)

    def _discard(self, directory: Path) -> None:
        """Throw a volume or snapshot away, and what it alone was made of."""
        with self._layers.lock:
            try:
                chain = self._layers.read(directory)
            except (HostError, NotFound):  # what cannot be read can be deleted all the same
                chain = Chain()
            self.layout.trash.discard(directory)
            self._layers.drop(chain)
            self._reap(chain.image)
        self._flattening.begin()

    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Mount the layers; a volume without any below it is shown as it is."""
        directory = self.volume_path(volume)
        with self._layers.reading():
            chain = self._layers.read(directory)
            return self._mounted(Mountpoint(directory), chain.lowers, chain.top, idmap)

    def _mounted(self, point: Mountpoint, lowers: Sequence[str], top: str, idmap: IdMap | None) -> MountedRoot:
        try:
            with self._mounting:
                point.ensure(idmap, lambda: self._layers.show(lowers, top, point.path, idmap))
        except OSError as error:
            raise self.layout.failure("mount", error) from error
        return MountedRoot(path=point.path, idmapped=idmap is not None)

    def keeper(self, kind: VolumeKind) -> StorageDriver:
        """Custom volumes are plain directories: the kernel shows no overlay to several id maps."""
        return self._customs if kind == "custom" else self

    def open_volume(self, volume: Volume) -> int:
        """The directory itself."""
        return self._customs.open_volume(volume)

    def size(self, volume: Volume) -> int:
        """Bytes of what was written, without the image and what snapshots share."""
        if (figures := self.figures(volume)) is not None:
            return figures.used
        directory, top = self._own_directories(volume)
        return paths.tree_size(top, "upper") + paths.tree_size(directory, "plain")

    def _own_directories(self, volume: Volume) -> list[Path]:
        directory = self.volume_path(volume)
        return [directory, self._layers.path(self._layers.read(directory).top)]

    def create_snapshot(self, snapshot: Snapshot, still: Still | None = None) -> None:
        """Take the volume's layer and give it another; copy it when somebody may write to it, or the pile is high."""
        if self.has_snapshot(snapshot):
            return
        with self._kept(snapshot.volume, snapshot, still, None) as (staged, chain):
            self._layers.write(staged, chain)
            self._place(staged, snapshot)

    def copy_volume(self, source: Held, target: Volume, still: Still | None = None, watch: Watch | None = None) -> None:
        """Make an empty layer over those of the source, as if it were a snapshot's."""
        if self.has_volume(target):
            return
        with (
            self._kept(source, target, still, watch) as (staged, chain),
            self._layers.new(chain.lowers, self._quotas.project(staged)) as top,
        ):
            self._layers.write(staged, Chain(image=chain.image, top=top, lowers=chain.lowers))
            self.layout.place(staged, self.volume_path(target))

    def copy_snapshot(self, source: Snapshot, target: Snapshot, watch: Watch | None = None) -> None:
        """Lie on the same layers."""
        if self.has_snapshot(target):
            return
        with self._kept(source, target, None, watch) as (staged, chain):
            self._layers.write(staged, chain)
            self._place(staged, target)

    def replace_volume(
        self, source: Held, target: Volume, still: Still | None = None, watch: Watch | None = None
    ) -> None:
        """Put an empty layer over those of the source in its place."""
        with self._layers.reading(), self._kept(source, target, still, watch) as (staged, chain):
            before = self._layers.read(self.volume_path(target))
            with self._layers.new(chain.lowers, self._quotas.project(staged)) as top:
                self._layers.write(staged, Chain(image=chain.image, top=top, lowers=chain.lowers))
                self.unmount(target)
                self.layout.exchange(staged, self.volume_path(target))
        self._drop(before)

    @contextmanager
    def opened(
        self, source: Held, still: Still | None = None, watch: Watch | None = None
    ) -> Generator[Path, None, None]:
        """Mount the layers of a snapshot that nobody knows."""
        with self._kept(source, None, still, watch) as (staged, chain):
            try:
                self._mounted(Mountpoint(staged), chain.lowers, "", None)
                yield staged
            finally:
                self._let_go(staged)
                self._drop(Chain(image=chain.image, lowers=chain.lowers))

    @contextmanager
    def filling(self, target: Held, like: Held | None = None) -> Generator[Filling, None, None]:
        """Mount an empty layer over those of what it is like, unless these are many: then all comes anew."""
        before: Chain | None = None
        making = self.layout.making("storage volume")
        with self._layers.reading(), making as staged, ExitStack() as until_placed:
            chain, project = Chain(), self._begin(staged, target)
            if like is not None and len(self._layers.read(self.path_of(like)).lowers) < HIGHEST:
                chain = until_placed.enter_context(self._lowers(self.path_of(like), [], None, None))
            Mountpoint(staged).make()
            top = until_placed.enter_context(self._layers.new(chain.lowers, project))
            try:
                self._mounted(Mountpoint(staged), chain.lowers, top, None)
                target = yield from Filling(staged).until_done(target)
            finally:
                self._let_go(staged)
            self.layout.flush()
            if isinstance(target, Volume):
                self._layers.write(staged, Chain(image=chain.image, top=top, lowers=chain.lowers))
            else:
                self._layers.write(staged, Chain(image=chain.image, lowers=[f"{top}/upper", *chain.lowers]))
            if (place := self._directory_of(target)).is_dir():
                before = self._layers.read(place)
                self._let_go(place)
                self.layout.exchange(staged, place)
            else:
                self._place(staged, target)
        if before is not None:
            self._drop(before)

    @contextmanager
    def _kept(
        self, source: Held, target: Held | None, still: Still | None, watch: Watch | None
    ) -> Generator[tuple[Path, Chain], None, None]:
        """A directory to be put in its place, and the layers of what a volume or snapshot holds now, which stay so.

        Without a target it is for the moment.
        """
        directory = self.path_of(source)
        making = self.layout.making("storage volume" if isinstance(target, Volume) else "snapshot")
        with self._layers.reading(), making as staged:
            self._begin(staged, target)
            self.layout.copy_beside(directory, staged)
            Mountpoint(staged).make()
            beside = [Copied(directory / "plain", staged / "plain")] if (directory / "plain").is_dir() else []
            with self._lowers(directory, beside, still, watch) as chain:
                yield staged, chain

    def _begin(self, staged: Path, target: Held | None) -> int:
        """What is made for a volume is of its project from the beginning; what only keeps something is of none."""
        return self._quotas.begin_for(staged, self.volume_path(target)) if isinstance(target, Volume) else 0

    @contextmanager
    def _lowers(
        self, directory: Path, beside: Sequence[Copied], still: Still | None, watch: Watch | None
    ) -> Generator[Chain, None, None]:
        """What a volume or snapshot holds now, as layers that stay so; a copied one goes when what follows fails.

        Directories beside it are copied at the same moment.
        """
        chain = self._layers.read(directory)
        is_written = chain.top != "" and not self._layers.is_unwritten(chain)
        if is_written and (mounts.is_mountpoint(directory / "rootfs") or len(chain.lowers) >= HIGHEST):

            def make(upper: Path) -> None:
                moments.copy_trees([Copied(self._layers.path(chain.top) / "upper", upper), *beside], still, watch)
                self.layout.flush()

            with self._layers.made(make) as copy:
                yield Chain(image=chain.image, lowers=[f"{copy}/upper", *chain.lowers])
            return
        if beside:
            moments.copy_trees(beside, still, watch)
            self.layout.flush()
        yield Chain(image=chain.image, lowers=self._layers.frozen(directory, chain) if is_written else chain.lowers)

    def _let_go(self, directory: Path) -> None:
        super()._let_go(directory)
        self._layers.let_go()

    def _drop(self, chain: Chain) -> None:
        with self._layers.lock:
            self._layers.drop(chain)
            self._reap(chain.image)

    def restore_snapshot(self, snapshot: Snapshot, mark: str) -> None:
        """Make the volume an empty layer over those of the snapshot."""
        source, directory = self.snapshot_path(snapshot), self.volume_path(snapshot.volume)
        with self._layers.reading(), self.layout.making("storage volume") as staged:
            wanted, before = self._layers.read(source), self._layers.read(directory)
            project = self._begin(staged, snapshot.volume)
            self.layout.copy_beside(source, staged)
            if (source / "plain").is_dir():
                copies.copy_tree(source / "plain", staged / "plain")
                self.layout.flush()
            (staged / RESTORED).write_text(mark)
            Mountpoint(staged).make()
            with self._layers.new(wanted.lowers, project) as top:
                self._layers.write(staged, Chain(image=wanted.image, top=top, lowers=wanted.lowers))
                self.unmount(snapshot.volume)
                self.layout.exchange(staged, directory)
        self._drop(before)

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """Into the trash, with the layers that no volume needs."""
        if self.has_snapshot(snapshot):
            self.unmount_snapshot(snapshot)
            self._discard(self.snapshot_path(snapshot))
        self._tidy_snapshots(snapshot.volume)

    def mount_snapshot(self, snapshot: Snapshot) -> MountedRoot:
        """Mount the layers without one to write to."""
        directory = self.snapshot_path(snapshot)
        with self._layers.reading():
            return self._mounted(Mountpoint(directory), self._layers.read(directory).lowers, "", None)

    def snapshot_size(self, snapshot: Snapshot) -> int | None:
        """Bytes of the uppermost layer: what was written since the snapshot before."""
        directory = self.snapshot_path(snapshot)
        lowers = self._layers.read(directory).lowers
        written = paths.tree_size(self.layout.root, lowers[0]) if lowers and lowers[0].startswith(layers.FOLDER) else 0
        return written + paths.tree_size(directory, "plain")

    def plain_directories(self, volume: Volume) -> list[PlainDirectory]:
        """Directories in the volume beside its layers, for what has to make overlays itself."""
        directory = self.volume_path(volume)
        chain = self._layers.read(directory)
        below = [self._layers.path(chain.top) / "upper", *(self.layout.root / lower for lower in chain.lowers)]
        return plain.provided(self._quotas.begin_in(directory, "plain"), below)

    def snapshot_directories(self, snapshot: Snapshot) -> list[PlainDirectory]:
        """The copies beside the snapshot's description."""
        return plain.kept(self.snapshot_path(snapshot) / "plain")

    def _reap(self, image: str) -> None:
        """Remove a deleted image that nothing lies on; the lock is held."""
        if image and self.layout.tombstone(image).exists() and not self._layers.has_users(image):
            self.layout.trash.discard(self.layout.image_path(image))
            self.layout.tombstone(image).unlink(missing_ok=True)
