"""Dir: an instance is a plain copy of its unpacked image; works on any file system with id-mapped mounts.

In a container there are none: there the files have the owners of their instance's map while it runs (`shifted.py`).
"""

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lightervisor.errors import NotFound, Unsupported
from lightervisor.kernel import copies, moments, mounts, owners, paths
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.moments import Copied
from lightervisor.kernel.userns import namespace_of
from lightervisor.storage import probe, shifted
from lightervisor.storage.driver import RESTORED, Filling, MountedRoot, Snapshot, Still, StorageDriver, Volume
from lightervisor.storage.mountpoint import Mountpoint

log = logging.getLogger(__name__)


class Dir(StorageDriver, name="dir"):
    """Plain directories; a copy shares extents where the file system can. Source: mount_setattr(2), cp(1)."""

    RANK = 90
    _mounting = threading.Lock()

    @classmethod
    def probe(cls, root: Path) -> None:
        """Show a directory with the owners of an id map and write there; in a container, make it."""
        with probe.trying(cls.name, root) as place:
            (place / "source").mkdir()
            (place / "target").mkdir()
            if shifted.is_needed():  # which ids there are for instances is seen at their start
                return
            mounts.bind_idmapped(place / "source", place / "target", namespace_of(probe.MAP))
            probe.check_writable(place / "target")

    def create(self) -> None:
        """Make the directories."""
        self.layout.prepare(self.source())
        self._tidy_all_snapshots()

    def delete(self) -> None:
        """Remove the directories."""
        self.layout.remove()

    def create_image(self, fingerprint: str, unpack: Callable[[Path], None]) -> None:
        """Keep it unpacked, to be copied from."""
        target = self.layout.image_path(fingerprint)
        if target.is_dir():
            return
        with self.layout.making("image") as staged:
            unpack(staged)
            self.layout.check_image(staged)
            self.layout.flush()
            self.layout.place(staged, target)

    def delete_image(self, fingerprint: str) -> None:
        """Volumes are copies, so nothing depends on it."""
        self.layout.trash.discard(self.layout.image_path(fingerprint))

    def create_volume(self, volume: Volume, image: str | None) -> None:
        """Copy the image's tree with owners, links, attributes and holes."""
        if self.has_volume(volume):
            return
        if image is not None and not self.has_image(image):
            raise _missing(image)
        with self.layout.making("storage volume") as staged:
            self._begin(staged, volume)
            if image is not None:
                self._copy(image, staged)
            Mountpoint(staged).make()
            self.layout.place(staged, self.volume_path(volume))
        if image is not None:
            self.layout.trash.behind(self._flush)

    def _begin(self, staged: Path, target: Volume | Snapshot | None) -> None:
        """What is made for a volume is of its project from the beginning; what only keeps something is of none."""
        if isinstance(target, Volume):
            self._quotas.begin_for(staged, self.volume_path(target))

    def _flush(self) -> None:
        """Behind a launch, which does not wait for it: what was copied is still in the image."""
        try:
            self.layout.flush()
        except OSError as error:
            log.warning("storage pool %s could not be flushed: %s", self.layout.root.name, error)

    def _copy(self, image: str, staged: Path) -> None:
        source = self.layout.image_path(image)
        begun_with = _identity(source)
        try:
            copies.copy_tree(source / "rootfs", staged / "rootfs")
            self.layout.copy_beside(source, staged)
        finally:
            # An image that is deleted is moved away first and removed then: the copy may lack files, without an error.
            if begun_with is None or _identity(source) != begun_with:
                raise _missing(image)

    def rebuild_volume(self, volume: Volume, image: str | None, mark: str) -> None:
        """A copy of the image's tree changes places with the volume's."""
        if image is not None and not self.has_image(image):
            raise _missing(image)
        if not self.has_volume(volume):
            raise NotFound("storage pool volume", volume.name)
        with self.layout.making("storage volume") as staged:
            self._begin(staged, volume)
            if image is not None:
                self._copy(image, staged)
            (staged / RESTORED).write_text(mark)
            Mountpoint(staged).make()
            self.layout.flush()
            self.unmount(volume)
            self.layout.exchange(staged, self.volume_path(volume))

    def fill_volume(self, volume: Volume, fill: Callable[[Path], None]) -> None:
        """Let it be filled."""
        if self.has_volume(volume):
            return
        with self.layout.making("storage volume") as staged:
            self._begin(staged, volume)
            self._fill(staged, fill)
            self.layout.place(staged, self.volume_path(volume))

    def fill_snapshot(self, snapshot: Snapshot, fill: Callable[[Path], None]) -> None:
        """Let it be filled."""
        if self.has_snapshot(snapshot):
            return
        with self.layout.making("snapshot") as staged:
            self._fill(staged, fill)
            self._place(staged, snapshot)

    def _fill(self, staged: Path, fill: Callable[[Path], None]) -> None:
        fill(staged)
        self.layout.check_root(staged)
        Mountpoint(staged).make()
        self.layout.flush()

    def delete_volume(self, volume: Volume) -> None:
        """Into the trash, with the owners that it has: other ones need room, which a full pool has not."""
        super()._let_go(self.volume_path(volume))
        project = self._quotas.project(self.volume_path(volume))
        self.layout.trash.discard(self.volume_path(volume))
        self._quotas.forget(project)
        for snapshot in self.snapshots(volume):
            self.delete_snapshot(snapshot)
        self._tidy_snapshots(volume)

    def changes_owners(self) -> bool:
        """In a container, whose kernel makes no id-mapped mounts for it."""
        return shifted.is_needed()

    def mount(self, volume: Volume, idmap: IdMap | None) -> MountedRoot:
        """Show rootfs over itself with the owners of the map; without a map it is used as it is."""
        point = Mountpoint(self.volume_path(volume))
        if not point.path.is_dir():
            raise NotFound("storage pool volume", volume.name)

        def attach() -> None:
            if idmap is None:
                shifted.make_plain(point.path.parent)
            elif shifted.is_needed():
                shifted.shift(point.path.parent, idmap)
            else:
                mounts.bind_idmapped(point.path, point.path, namespace_of(idmap))

        try:
            with self._mounting:
                point.ensure(idmap, attach)
        except OSError as error:
            raise self.layout.failure("mount", error) from error
        return MountedRoot(path=point.path, idmapped=idmap is not None)

    def open_volume(self, volume: Volume) -> int:
        """The directory itself."""
        return self.layout.open_directory(self.volume_path(volume) / "rootfs")

    def size(self, volume: Volume) -> int:
        """Bytes of the whole tree."""
        figures = self.figures(volume)
        return paths.tree_size(self.volume_path(volume), "rootfs") if figures is None else figures.used

    def create_snapshot(self, snapshot: Snapshot, still: Still | None = None) -> None:
        """Copy the volume's tree."""
        if not self.has_snapshot(snapshot):
            with self._copied(snapshot.volume, snapshot, still, None) as staged:
                self._place(staged, snapshot)

    def copy_volume(
        self, source: Volume | Snapshot, target: Volume, still: Still | None = None, watch: Watch | None = None
    ) -> None:
        """Copy the tree."""
        if not self.has_volume(target):
            with self._copied(source, target, still, watch) as staged:
                self._place(staged, target)

    def copy_snapshot(self, source: Snapshot, target: Snapshot, watch: Watch | None = None) -> None:
        """Copy the tree."""
        if not self.has_snapshot(target):
            with self._copied(source, target, None, watch) as staged:
                self._place(staged, target)

    def replace_volume(
        self, source: Volume | Snapshot, target: Volume, still: Still | None = None, watch: Watch | None = None
    ) -> None:
        """Copy what differs; the rest is linked from what is replaced."""
        with self.opened(source, still, watch) as opened:
            with self.opened(target) as before:
                is_same = self.layout.is_same_beside(opened, before)
                if is_same and not copies.differ(opened / "rootfs", before / "rootfs", watch):
                    return
            with self.filling(target, target) as filling:
                copies.synchronise(opened / "rootfs", filling.directory / "rootfs", watch, twin=filling.twin)
                self.layout.copy_beside(opened, filling.directory)

    @contextmanager
    def opened(
        self, source: Volume | Snapshot, still: Still | None = None, watch: Watch | None = None
    ) -> Generator[Path, None, None]:
        """The directory itself, without what is mounted in it; a copy of it where somebody writes to it.

        Raises Unsupported in a container for one that is in use: its files have other owners meanwhile.
        """
        directory = self.path_of(source)
        if still is not None:
            with self._copied(source, None, still, watch) as staged:
                yield staged
            return
        if shifted.map_of(directory) is not None:
            cause = "while it runs, its files have the owners of its id map, as there are no id-mapped mounts here"
            raise Unsupported("storage pool volume", directory.name, cause=cause, remedy="stop it first")
        with self._beneath(directory) as beneath:
            yield beneath

    @contextmanager
    def filling(
        self, target: Volume | Snapshot, like: Volume | Snapshot | None = None
    ) -> Generator[Filling, None, None]:
        """An empty directory; files are linked only from what it replaces, as else two would have the same."""
        place = self._directory_of(target)
        with self.layout.making("storage volume") as staged, ExitStack() as stack:
            self._begin(staged, target)
            Mountpoint(staged).make()
            twin = None
            if like == target and place.is_dir():
                twin = stack.enter_context(self._beneath(place)) / "rootfs"
            target = yield from Filling(staged, twin).until_done(target)
            place = self._directory_of(target)
            self.layout.flush()
            if not place.is_dir():
                self._place(staged, target)
            else:
                self._let_go(place)
                self.layout.exchange(staged, place)

    @contextmanager
    def _copied(
        self, source: Volume | Snapshot, target: Volume | Snapshot | None, still: Still | None, watch: Watch | None
    ) -> Generator[Path, None, None]:
        """A directory with what a volume or snapshot holds, to be put in its place; without a target, to be read."""
        directory = self.path_of(source)
        with self.layout.making("storage volume" if isinstance(target, Volume) else "snapshot") as staged:
            self._begin(staged, target)
            shown_for = shifted.map_of(directory)
            with self._beneath(directory) as beneath:
                moments.copy_trees([Copied(beneath / "rootfs", staged / "rootfs")], still, watch)
                self.layout.copy_beside(beneath, staged)
            if shown_for is not None:
                owners.unshift(staged / "rootfs", shown_for)
            Mountpoint(staged).make()
            self.layout.flush()
            yield staged

    def _let_go(self, directory: Path) -> None:
        """Also make its owners plain again, where they are the map's while it is in use."""
        super()._let_go(directory)
        try:
            with suppress(NotFound):
                shifted.make_plain(directory)
        except OSError as error:
            raise self.layout.failure("owners", error) from error

    @contextmanager
    def _beneath(self, volume: Path) -> Generator[Path, None, None]:
        """The volume's directory without what is mounted in it: files with their plain owners."""
        place = self.layout.trash.new()
        try:
            mounts.bind(volume, place)
            yield place
        finally:
            self.layout.trash.remove(place)

    def restore_snapshot(self, snapshot: Snapshot, mark: str) -> None:
        """Copy the snapshot's tree; it changes places with the volume's."""
        source = self.snapshot_path(snapshot)
        if not source.is_dir():
            raise NotFound("snapshot", snapshot.name)
        with self.layout.making("storage volume") as staged:
            self._begin(staged, snapshot.volume)
            copies.copy_tree(source / "rootfs", staged / "rootfs")
            self.layout.copy_beside(source, staged)
            (staged / RESTORED).write_text(mark)
            Mountpoint(staged).make()
            self.layout.flush()
            self.unmount(snapshot.volume)
            self.layout.exchange(staged, self.volume_path(snapshot.volume))

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """Into the trash."""
        self.unmount_snapshot(snapshot)
        self.layout.trash.discard(self.snapshot_path(snapshot))
        self._tidy_snapshots(snapshot.volume)

    def mount_snapshot(self, snapshot: Snapshot) -> MountedRoot:
        """Show rootfs over itself, read-only."""
        point = Mountpoint(self.snapshot_path(snapshot))
        if not point.path.is_dir():
            raise NotFound("snapshot", snapshot.name)
        try:
            with self._mounting:
                point.ensure(None, lambda: mounts.bind(point.path, point.path, readonly=True))
        except OSError as error:
            raise self.layout.failure("mount", error) from error
        return MountedRoot(path=point.path, idmapped=False)

    def snapshot_size(self, snapshot: Snapshot) -> int | None:
        """Nothing is known of it: a whole tree would have to be walked."""
        return None


def _missing(image: str) -> NotFound:
    return NotFound("image", image, text=f"Image {image} is not in this storage pool")


def _identity(directory: Path) -> tuple[int, int] | None:
    try:
        found = directory.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns
