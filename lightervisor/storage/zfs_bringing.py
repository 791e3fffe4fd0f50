"""How a pool is brought up: its directories are made to agree with its datasets, and what a crash left is finished.

Also how directories show datasets, and go without harm to what is mounted in them.
"""

from collections import defaultdict
from pathlib import Path
from typing import get_args

from lightervisor.errors import Conflict, NotFound
from lightervisor.kernel import mounts, paths, zfs
from lightervisor.storage.layout import PoolLayout
from lightervisor.storage.volume import Volume, VolumeKind
from lightervisor.storage.zfs_datasets import OPTIONS, READONLY, SNAPSHOT, Datasets

KINDS: tuple[VolumeKind, ...] = get_args(VolumeKind)


def remove(place: Path) -> None:
    """Remove a directory of the host, never what is mounted in it. Raises OSError."""
    unmount_below(place)
    paths.remove_tree(place)


def unmount_below(place: Path) -> None:
    """Take away all that is mounted at a directory and below, and nothing anywhere else. Raises OSError."""
    while found := [one for one in map(Path, mounts.mountpoints()) if one.is_relative_to(place)]:
        mounts.umount_alone(min(found, key=lambda one: len(one.parts)))


def show(dataset: str, place: Path) -> None:
    """Mount a dataset at a directory, unless it is; something else is taken away. Raises OSError."""
    place.mkdir(mode=0o710, exist_ok=True)
    if mounts.is_mountpoint(place):
        if zfs.mounted().get(place) == dataset:
            return
        mounts.umount(place, lazy=True)
    zfs.mount(dataset, place)


def rename(layout: PoolLayout, datasets: Datasets, volume: Volume, new: Volume) -> None:
    """Give a volume's dataset another name; nothing happens when that was done. Raises Conflict, NotFound, OSError."""
    old_place, new_place = (layout.root / one.kind / one.name for one in (volume, new))
    if not old_place.is_dir():
        if new_place.is_dir():
            return
        raise NotFound("storage pool volume", volume.name)
    if new_place.is_dir():
        raise Conflict("storage volume", new.name, cause="this name is taken", remedy="choose another name")
    zfs.rename(datasets.of(volume), datasets.of(new))
    mounts.umount(old_place, lazy=True)
    old_place.rmdir()


def bring(layout: PoolLayout, datasets: Datasets) -> None:
    """Finish what was begun, mount the volumes, and let directories stand for images and snapshots. Raises OSError."""
    layout.prepare(None)
    rows = [row[0] for row in zfs.tree([datasets.base], ["name"], "filesystem,snapshot")]
    for name in ("containers", "custom", "images", "making", "deleted"):
        if f"{datasets.base}/{name}" not in rows:
            zfs.create(f"{datasets.base}/{name}", OPTIONS)
    found = _Found(datasets, rows)
    found.finish()
    datasets.tidy([row for row in rows if "@" in row])
    shown = zfs.mounted()
    for kind in KINDS:
        for name in sorted({*layout.entries(kind), *found.below(kind)}):
            dataset, place = datasets.of(Volume(kind, name)), layout.root / kind / name
            if dataset not in found.datasets:
                remove(place)
            elif shown.get(place) != dataset:
                show(dataset, place)
        _agree(layout, f"{kind}-snapshots", found.snapshots(kind))
    _agree(layout, "images", {name: set() for name in found.images()})
    datasets.sweep_behind()


def _agree(layout: PoolLayout, folder: str, wanted: dict[str, set[str]]) -> None:
    """Let there be these directories in one of the pool's, with these in them, and no others; nothing is mounted."""
    place = layout.root / folder
    unmount_below(place)
    for name in layout.entries(folder):
        if name not in wanted:
            remove(place / name)
    for name, inner in wanted.items():
        (place / name).mkdir(mode=0o700, exist_ok=True)
        for one in {*layout.entries(f"{folder}/{name}"), *inner}:
            if one in inner:
                (place / name / one).mkdir(mode=0o700, exist_ok=True)
            else:
                remove(place / name / one)


class _Found:
    """What there is in ZFS, as of one moment."""

    def __init__(self, datasets: Datasets, rows: list[str]) -> None:
        self._names, self.datasets = datasets, {row for row in rows if "@" not in row}
        self._snapshots: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            dataset, at, name = row.partition("@")
            if at:
                self._snapshots[dataset].add(name)

    def _inside(self, folder: str) -> list[list[str]]:
        """The names below one of ours, by their parts."""
        start = f"{self._names.base}/{folder}/"
        return sorted(name.removeprefix(start).split("/") for name in self.datasets if name.startswith(start))

    def below(self, folder: str) -> list[str]:
        """The names directly below one of ours."""
        return [parts[0] for parts in self._inside(folder) if len(parts) == 1]

    def finish(self) -> None:
        """Let what was about to be a volume be one; what else was being made goes."""
        for name in self.below("making"):
            kind, colon, volume = name.partition(":")
            dataset, wanted = f"{self._names.base}/making/{name}", f"{self._names.base}/{kind}/{volume}"
            if colon and kind in KINDS and wanted not in self.datasets:
                zfs.rename(dataset, wanted)
                self.datasets.add(wanted)
            else:
                self._names.discard(dataset)
        for kind in KINDS:
            for parts in self._inside(f"{kind}-snapshots"):
                dataset = "/".join((self._names.base, f"{kind}-snapshots", *parts))
                if len(parts) == 2 and not self._kept(dataset):
                    self._names.discard(dataset)
        for name in self.below("images"):
            if READONLY not in self._snapshots[self._names.image(name)]:
                self._names.discard(self._names.image(name))

    def _kept(self, dataset: str) -> set[str]:
        names = self._snapshots[dataset]
        return {name.removeprefix(SNAPSHOT) for name in names if name.startswith(SNAPSHOT)}

    def snapshots(self, kind: VolumeKind) -> dict[str, set[str]]:
        """The snapshots of volumes that have some."""
        found: dict[str, set[str]] = defaultdict(set)
        for name in self.below(kind):
            found[name] |= self._kept(self._names.of(Volume(kind, name)))
        for parts in self._inside(f"{kind}-snapshots"):
            if len(parts) == 2:
                found[parts[0]] |= self._kept("/".join((self._names.base, f"{kind}-snapshots", *parts)))
        return {name: names for name, names in found.items() if names}

    def images(self) -> list[str]:
        """The images that are whole."""
        return [name for name in self.below("images") if READONLY in self._snapshots[self._names.image(name)]]
