"""How the datasets of a pool are made, and get their place: a name, and a directory of the host that shows them.

What is being made has a name that says nothing, so that a volume, snapshot or image is there whole or not at all.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from lightervisor.config import sizes
from lightervisor.errors import HostError, NotFound
from lightervisor.kernel import mounts, zfs
from lightervisor.storage import zfs_bringing
from lightervisor.storage.layout import DESCRIPTION, PoolLayout
from lightervisor.storage.settling import settle
from lightervisor.storage.volume import Snapshot, Volume
from lightervisor.storage.zfs_datasets import OPTIONS, READONLY, SNAPSHOT, Datasets, Kept
from lightervisor.storage.zfs_quotas import DatasetQuotas

log = logging.getLogger(__name__)
Make = Callable[[str], None]
Fill = Callable[[Path], None]
CLONE, BLOCKSIZE = "zfs.clone_copy", "volume.zfs.blocksize"


class Made:
    """A dataset without a place yet, mounted in a directory that nobody sees."""

    def __init__(self, dataset: str, directory: Path) -> None:
        self.dataset, self.directory, self.is_placed = dataset, directory, False


class Making:
    """The making of one pool. Failures are OSError, HostError and NotFound."""

    def __init__(
        self, layout: PoolLayout, datasets: Datasets, quotas: DatasetQuotas, config: Mapping[str, str]
    ) -> None:
        self._layout, self._datasets, self._quotas, self._config = layout, datasets, quotas, config
        self._moving, self._showing = threading.Lock(), threading.Lock()

    @contextmanager
    def new(self, what: str, make: Make) -> Generator[Made, None, None]:
        """A dataset that `make` made; it is removed if it gets no place."""
        with self._layout.making(what) as outer:
            made = Made(self._datasets.making(), outer / "volume")
            made.directory.mkdir()
            try:
                make(made.dataset)
                zfs.mount(made.dataset, made.directory)
                yield made
            finally:
                mounts.umount_alone(made.directory)
                if not made.is_placed:
                    self._datasets.discard(made.dataset)

    @contextmanager
    def looked_into(self, kept: Kept) -> Generator[Path, None, None]:
        """A snapshot, mounted where nobody sees it."""
        with self._layout.making("snapshot") as outer:
            place = outer / "volume"
            place.mkdir()
            try:
                zfs.mount(kept.full, place, readonly=True)
                yield place
            finally:
                mounts.umount_alone(place)

    def unseen(self, make: Make, target: Volume | Snapshot) -> None:
        """Make a dataset that needs nothing to be done in it, and give it its place."""
        made = Made(self._datasets.making(), Path())
        try:
            make(made.dataset)
            self.place(made, target)
        finally:
            if not made.is_placed:
                self._datasets.discard(made.dataset)

    # What makes a dataset

    def _properties(self) -> dict[str, str]:
        size = self._config.get(BLOCKSIZE, "")
        return {**OPTIONS, "recordsize": str(sizes.parse(size))} if size else OPTIONS

    def empty(self, dataset: str) -> None:
        """Make one with nothing in it."""
        zfs.create(dataset, self._properties())

    def clone(self, snapshot: str, dataset: str) -> None:
        """Make one of a snapshot; what is there already under that name is whole, so it stays."""
        try:
            zfs.clone(snapshot, dataset, self._properties())
        except FileExistsError:
            return
        except FileNotFoundError as error:
            name = snapshot.partition("@")[0].rpartition("/")[2]
            text = f"Image {name} is not in this storage pool" if snapshot.endswith(f"@{READONLY}") else ""
            raise NotFound("image" if text else "storage pool volume", name, text=text) from error

    def copy(self, kept: Kept, dataset: str) -> None:
        """Make a copy of a snapshot: as a clone, unless copies are to share less."""
        if (how := self._config.get(CLONE) or "true") == "true":
            self.clone(kept.full, dataset)
            return
        origin = zfs.get(kept.dataset, "origin")["origin"] if how == "rebase" else ""
        since = origin if origin.endswith(f"@{READONLY}") else ""
        zfs.copy(kept.full, dataset, self._properties(), since=since)
        zfs.destroy_snapshots(dataset, [kept.name])

    def fill(self, made: Made, fill: Fill, what: str = "storage volume") -> None:
        """Let it be filled, its metadata and templates as of every volume."""
        place = made.directory
        fill(place)
        settle(self._layout, place, what)

    # Places

    def path_of(self, volume: Volume) -> Path:
        """The directory where a volume is mounted."""
        return self._layout.root / volume.kind / volume.name

    def show(self, volume: Volume) -> None:
        """Mount a volume in its place."""
        with self._showing:
            zfs_bringing.show(self._datasets.of(volume), self.path_of(volume))

    def note(self, snapshot: Snapshot) -> None:
        """Let a directory stand for a snapshot."""
        self._directory_of(snapshot).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _directory_of(self, snapshot: Snapshot) -> Path:
        volume = snapshot.volume
        return self._layout.root / f"{volume.kind}-snapshots" / volume.name / snapshot.name

    def place(self, made: Made, target: Volume | Snapshot) -> None:
        """Give what was made its place, unless that is a volume's and taken; another snapshot goes."""
        if isinstance(target, Volume):
            with suppress(FileExistsError):
                zfs.rename(made.dataset, self._datasets.of(target))
                made.is_placed = True
            self.show(target)
            return
        zfs.snapshot(f"{made.dataset}@{SNAPSHOT}{target.name}")
        replaced = self._datasets.where(target) if self._directory_of(target).is_dir() else None
        zfs.rename(made.dataset, self._datasets.another(target.volume))
        made.is_placed = True
        if replaced is not None:
            self._datasets.discard_kept(replaced)
        self.note(target)

    def place_image(self, made: Made, fingerprint: str) -> None:
        """Close an image, and give it its place."""
        mounts.umount(made.directory, lazy=True)
        zfs.snapshot(f"{made.dataset}@{READONLY}")
        with suppress(FileExistsError):
            zfs.rename(made.dataset, self._datasets.image(fingerprint))
            made.is_placed = True

    def replace(self, made: Made, target: Volume) -> None:
        """Let what was made take the place of an unmounted volume, with its description and size.

        The old one's new name is what decides: from then on the new one goes to its place, also after a crash.
        """
        place, own, following = self.path_of(target), self._datasets.of(target), self._datasets.next(target)
        if (place / DESCRIPTION).is_file() and not (made.directory / DESCRIPTION).exists():
            shutil.copy2(place / DESCRIPTION, made.directory / DESCRIPTION)
        if limit := self._quotas.limit_of(own):
            self._quotas.set(made.dataset, limit)
        with self._moving:
            has_snapshots = any(one.dataset == own for one in self._datasets.kept(target))
            old = self._datasets.another(target) if has_snapshots else self._datasets.making()
            zfs.rename(made.dataset, following)
            made.is_placed = True
            try:
                self._change_places(own, old, following)
            except BaseException:
                self._datasets.discard(following)
                raise
        mounts.umount(place, lazy=True)
        self.show(target)
        if not has_snapshots:
            self._datasets.discard(old)
        elif limit:
            self._quotas.set(old, 0)

    def _change_places(self, own: str, old: str, following: str) -> None:
        zfs.rename(own, old)
        try:
            zfs.rename(following, own)
        except BaseException:
            zfs.rename(old, own)
            raise

    def take_history(self, volume: Volume) -> None:
        """Let a volume that became a clone of a snapshot of its own have that one and those before.

        Nothing depends on it: where that fails, snapshots stay in the dataset that they are in.
        """
        try:
            zfs.promote(self._datasets.of(volume))
            self._datasets.discard_emptied(volume)
        except (OSError, HostError) as error:
            log.info("Snapshots of %s stay in another dataset: %s", volume.name, error)
