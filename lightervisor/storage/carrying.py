"""Copies of volumes with their snapshots, in one pool or from one to another, whatever driver each has.

In one pool the driver's own way is taken, which may share what both are made of. Plain blocking functions; who calls
them removes what is there when they raise.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from lightervisor.kernel import copies, paths
from lightervisor.kernel.copies import Watch
from lightervisor.storage.driver import Snapshot, Still, StorageDriver, Volume
from lightervisor.storage.plain import PLAIN, PlainDirectories, name_of


class Goods(NamedTuple):
    """What is copied: a volume or a snapshot of a pool, with those snapshots that are named, the oldest first."""

    driver: StorageDriver
    files: Volume | Snapshot
    snapshots: Sequence[str]

    @property
    def volume(self) -> Volume:
        """The volume, or that of the snapshot."""
        return self.files if isinstance(self.files, Volume) else self.files.volume


class Place(NamedTuple):
    """Where a volume is to be, or is."""

    driver: StorageDriver
    volume: Volume


def copy(goods: Goods, place: Place, still: Still | None = None, watch: Watch | None = None) -> None:
    """Make a volume with snapshots.

    `still` holds who writes to the source still, for as short as can be. Raises NotFound, HostError, Failure when the
    watch ends it.
    """
    target, volume = place
    copy_snapshots(goods, place, watch)
    if goods.driver is target:
        target.copy_volume(goods.files, volume, still, watch)
    else:
        like = Snapshot(volume, goods.snapshots[-1]) if goods.snapshots else None
        _carry(goods.driver.opened(goods.files, still, watch), target, volume, like, watch)


def replace(goods: Goods, place: Place, still: Still | None = None, watch: Watch | None = None) -> None:
    """Make an unmounted volume what another one, or a snapshot, holds; `goods.snapshots` are left out. As `copy`."""
    target, volume = place
    if goods.driver is target:
        target.replace_volume(goods.files, volume, still, watch)
    else:
        _carry(goods.driver.opened(goods.files, still, watch), target, volume, volume, watch)


def _is_same(opened: Path, target: StorageDriver, volume: Volume, watch: Watch | None) -> bool:
    with target.opened(volume) as before:
        is_alike = target.layout.is_same_beside(opened, before) and not (opened / "plain").is_dir()
        return is_alike and not copies.differ(opened / "rootfs", before / "rootfs", watch)


def copy_snapshots(goods: Goods, place: Place, watch: Watch | None = None) -> None:
    """Make the snapshots alone, of a volume that is there or will be."""
    like: Snapshot | None = None
    for name in goods.snapshots:
        copy_snapshot(Goods(goods.driver, Snapshot(goods.volume, name), []), place, name, like, watch)
        like = Snapshot(place.volume, name)


def copy_snapshot(
    goods: Goods, place: Place, name: str, like: Snapshot | None = None, watch: Watch | None = None
) -> None:
    """Make a snapshot, by this name, of the one that the goods are, knowing what it will be like. As `copy`."""
    target, snapshot = place.driver, Snapshot(place.volume, name)
    if goods.driver is target and isinstance(goods.files, Snapshot):
        target.copy_snapshot(goods.files, snapshot, watch)
    else:
        _carry(goods.driver.opened(goods.files, None, watch), target, snapshot, like, watch)


def _carry(
    source: AbstractContextManager[Path],
    target: StorageDriver,
    place: Volume | Snapshot,
    like: Volume | Snapshot | None,
    watch: Watch | None,
) -> None:
    """Fill a volume or snapshot of another pool."""
    with source as opened:
        if isinstance(place, Volume) and like == place and _is_same(opened, target, place, watch):
            return
        with target.filling(place, like) as filling:
            root = filling.directory / "rootfs"
            if any(root.iterdir()) or filling.twin is not None:
                copies.synchronise(opened / "rootfs", root, watch, twin=filling.twin)
            else:
                copies.copy_into(opened / "rootfs", root, watch)
            target.layout.copy_beside(opened, filling.directory)
            _carry_plain(opened / "plain", filling.directory, target, watch)


def _carry_plain(kept: Path, directory: Path, target: StorageDriver, watch: Watch | None) -> None:
    """Directories that lay beside the root file system: beside it again, or in it where the pool keeps them there."""
    if not kept.is_dir():
        return
    if isinstance(target, PlainDirectories):
        copies.copy_tree(kept, directory / "plain", watch)
        return
    for guest in PLAIN:
        host = kept / name_of(guest)
        if host.is_dir() and any(host.iterdir()) and paths.is_plain(directory / "rootfs", guest):
            copies.synchronise(host, directory / "rootfs" / guest, watch)
