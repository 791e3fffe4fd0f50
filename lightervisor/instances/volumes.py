"""Where an instance lives on disk: its pool, its volume, its description for `lxd recover`."""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from lightervisor.config import sizes
from lightervisor.config.merge import Devices, root_device
from lightervisor.config.names import volume_name
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Conflict, Failure, Invalid
from lightervisor.instances.descriptions import FILE, Descriptions
from lightervisor.kernel import files, mounts
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.model import yaml_documents
from lightervisor.operations.readers import Departures
from lightervisor.storage.driver import (
    MountedRoot,
    Snapshot,
    Still,
    StorageDriver,
    Volume,
)
from lightervisor.storage.keys_volume import DEFAULTS
from lightervisor.storage.mountpoint import ROOTFS
from lightervisor.storage.plain import PlainDirectories, PlainDirectory
from lightervisor.storage.pools import Pools
from lightervisor.storage.volume_rules import custom_volume

log = logging.getLogger(__name__)


class SnapshotPlace(NamedTuple):
    """A snapshot of an instance."""

    project: str
    instance: str
    name: str


class Reading(NamedTuple):
    """Somebody who reads an instance's files where they are: what for, and whether it may start meanwhile."""

    action: str
    starts: bool


class InstanceVolumes:
    """The volumes of instances, over whichever pool each is in."""

    def __init__(self, pools: Pools, descriptions: Descriptions) -> None:
        self._pools, self._descriptions = pools, descriptions
        self._readers: Counter[SnapshotPlace] = Counter()
        self._in_place: dict[tuple[str, str], list[Reading]] = {}
        self._departures = Departures()
        self._before_leaving: list[Callable[[str, str], Awaitable[None]]] = []

    def before_leaving(self, end: Callable[[str, str], Awaitable[None]]) -> None:
        """Have this called, with project and name, before a root file system is unmounted or exchanged.

        For those who use it without holding the instance's lock: they must let go of it.
        """
        self._before_leaving.append(end)

    async def leave(self, project: str, name: str) -> None:
        """Have those let go of a root file system who use it without the instance's lock, which the caller holds."""
        for end in self._before_leaving:
            await end(project, name)

    def pool_of(self, devices: Devices) -> str:
        """The pool of the root disk. Raises Invalid without a root disk, NotFound for an unknown pool."""
        root = root_device(devices)
        if root is None:
            raise Invalid("instance", text="No root device could be found")
        pool = root[1]["pool"]
        self._pools.driver(pool)
        return pool

    def check_root_change(self, before: Devices, after: Devices) -> None:
        """Raise Invalid for a root disk in another pool than before."""
        if self.pool_of(before) != self.pool_of(after):
            raise Invalid("root disk", text="The storage pool of the root disk can only be changed through move")

    async def resize(self, project: str, name: str, devices: Devices) -> None:
        """Let an instance's files take as much as its root disk says, live. Raises Failure when they take more."""
        driver = self._pools.driver(self.pool_of(devices))
        await in_thread(driver.resize, _volume(project, name), sizes.parse(size_of(devices) or "0"))

    def taken(self, project: str, name: str, devices: Devices) -> dict[str, int]:
        """Bytes that each disk of a pool takes, where the pool keeps count; blocking, for a moment."""
        found: dict[str, int] = {}
        for device, config in devices.items():
            if config.get("type") != "disk" or not config.get("pool"):
                continue
            is_root = config.get("path") == "/"
            volume = _volume(project, name) if is_root else custom_volume(project, config.get("source", "-"))
            with suppress(Failure):
                if (figures := self._pools.driver(config["pool"]).keeper(volume.kind).figures(volume)) is not None:
                    found[device] = figures.used
        return found

    def driver(self, pool: str) -> StorageDriver:
        """The driver of a pool. Raises NotFound."""
        return self._pools.driver(pool)

    def check_new(self, pool: str, project: str, name: str) -> None:
        """Raise Conflict when the pool has a volume of this name, or snapshots of one, which nobody knows then.

        To be asked before the step that makes it: the undo of that removes what is there.
        """
        driver, volume = self._pools.driver(pool), _volume(project, name)
        found = [driver.volume_path(volume)] if driver.has_volume(volume) else []
        found += [driver.snapshot_path(one).parent for one in driver.snapshots(volume)]
        if found:
            cause = f"storage pool {pool!r} holds a volume of this name that belongs to no instance"
            raise Conflict("instance", name, cause=cause, remedy=f"move {found[0]} out of the pool")

    async def create(self, pool: str, project: str, name: str, image: str | None) -> None:
        """Make the volume, from an unpacked image or empty."""
        await in_thread(self._pools.driver(pool).create_volume, _volume(project, name), image)

    async def size_new(self, project: str, name: str, devices: Devices) -> None:
        """Give a new volume the size of its root disk, or what the pool gives to new ones."""
        driver = self._pools.driver(self.pool_of(devices))
        size = sizes.parse(size_of(devices) or driver.config.get(f"{DEFAULTS}size") or "0")
        if size:
            await in_thread(driver.resize, _volume(project, name), size)

    async def delete(self, pool: str, project: str, name: str) -> None:
        """Unmount and remove the volume; nothing happens when it is gone."""
        await self.leave(project, name)
        driver = self._pools.driver(pool)

        def remove() -> None:
            driver.unmount(_volume(project, name))
            driver.delete_volume(_volume(project, name))

        await in_thread(remove)

    async def rename(self, pool: str, project: str, name: str, new_name: str) -> None:
        """Give the volume another name."""
        await self.leave(project, name)
        driver = self._pools.driver(pool)

        def move() -> None:
            driver.unmount(_volume(project, name))
            driver.rename_volume(_volume(project, name), _volume(project, new_name))

        await in_thread(move)

    async def mount(
        self, pool: str, project: str, name: str, idmap: IdMap | None, *, is_protected: bool = False
    ) -> MountedRoot:
        """Mount the root file system for an id map.

        Raises Invalid with LXD's text when owners on disk would change and `is_protected` forbids it.
        """
        driver = self._pools.driver(pool)
        if is_protected and idmap is not None and driver.changes_owners():
            text = "Container is protected against filesystem shifting"
            raise Invalid("instance", name, text=text, remedy="unset security.protection.shift")
        return await in_thread(driver.mount, _volume(project, name), idmap)

    async def unmount(self, pool: str, project: str, name: str) -> None:
        """Unmount the root file system; nothing happens when it is not mounted."""
        await self.leave(project, name)
        await in_thread(self._pools.driver(pool).unmount, _volume(project, name))

    async def unmount_left(self, pools: Mapping[tuple[str, str], str], running: Set[tuple[str, str]]) -> None:
        """Unmount the roots of instances that do not run, and all snapshots, as far as they are mounted.

        `pools` has the pool of each instance, by project and name. For a daemon that starts: nobody reads anything.
        """
        mounted = mounts.mountpoints()
        for (project, name), pool in pools.items():
            if (project, name) not in running and str(self.directory(pool, project, name) / ROOTFS) in mounted:
                await self.unmount(pool, project, name)
        snapshots = [Path(place) for place in mounted if "-snapshots/" in place and place.endswith(f"/{ROOTFS}")]
        if not snapshots:
            return
        for (project, name), pool in pools.items():
            above = self.snapshot_directory(pool, SnapshotPlace(project, name, "any")).parent
            for place in [one for one in snapshots if one.parent.parent == above]:
                found = SnapshotPlace(project, name, place.parent.name)
                await in_thread(self._pools.driver(pool).unmount_snapshot, _snapshot(found))

    def directory(self, pool: str, project: str, name: str) -> Path:
        """The volume's directory, which holds metadata.yaml, templates and backup.yaml."""
        return self._pools.driver(pool).volume_path(_volume(project, name))

    async def plain_directories(self, pool: str, project: str, name: str) -> list[PlainDirectory]:
        """What the pool keeps beside the root file system for an instance that nests others."""
        driver = self._pools.driver(pool)
        if not isinstance(driver, PlainDirectories):
            return []
        return await in_thread(driver.plain_directories, _volume(project, name))

    async def snapshot_directories(self, pool: str, place: SnapshotPlace) -> list[PlainDirectory]:
        """What a snapshot of such an instance keeps of them."""
        driver = self._pools.driver(pool)
        if not isinstance(driver, PlainDirectories):
            return []
        return await in_thread(driver.snapshot_directories, _snapshot(place))

    async def keep(self, pool: str) -> None:
        """Have all that has its place in a pool outlast a power cut, with its name. Raises HostError.

        For those after whom another copy of it goes: the database, on another file system, says nothing of this one.
        """
        await in_thread(self._pools.driver(pool).layout.keep)

    def exists(self, pool: str, project: str, name: str) -> bool:
        """Whether the volume is there."""
        return self.directory(pool, project, name).is_dir()

    async def write_description(self, row: InstanceRow, pool: str) -> None:
        """Write backup.yaml beside the root file system, so that the pool alone tells of the instance."""
        target, told = self.directory(pool, row.project, row.name) / FILE, self._descriptions.of(row, pool)

        def write() -> None:
            with self._pools.driver(pool).unheld(_volume(row.project, row.name)):
                files.write_whole(target, yaml_documents.dump(told), 0o400)

        await in_thread(write)

    # Snapshots

    def check_new_snapshot(self, pool: str, place: SnapshotPlace) -> None:
        """Raise Conflict when the pool has a snapshot of this name, which nobody knows then; as `check_new`."""
        driver, snapshot = self._pools.driver(pool), _snapshot(place)
        if driver.has_snapshot(snapshot):
            cause = f"storage pool {pool!r} holds a snapshot of this name that {place.instance} does not have"
            remedy = f"choose another name, or move {driver.snapshot_path(snapshot)} out of the pool"
            raise Conflict("snapshot", place.name, cause=cause, remedy=remedy)

    async def create_snapshot(self, pool: str, place: SnapshotPlace, still: Still | None) -> None:
        """Keep what the volume holds now; `still` holds a running instance still for the moment that needs it."""
        await in_thread(self._pools.driver(pool).create_snapshot, _snapshot(place), still)

    async def restore_snapshot(self, pool: str, place: SnapshotPlace, mark: str) -> None:
        """Make the volume of a stopped instance what it was; `restored` tells afterwards that this was done."""
        await self.leave(place.project, place.instance)
        await in_thread(self._pools.driver(pool).restore_snapshot, _snapshot(place), mark)

    async def rebuild(self, pool: str, project: str, name: str, image: str | None, mark: str) -> None:
        """Give a stopped instance the files of an unpacked image, or none; `restored` tells of it afterwards."""
        await self.leave(project, name)
        await in_thread(self._pools.driver(pool).rebuild_volume, _volume(project, name), image, mark)

    def restored(self, pool: str, project: str, name: str) -> str:
        """The mark of the restore or rebuild that a volume is of."""
        return self._pools.driver(pool).restored(_volume(project, name))

    async def delete_snapshot(self, pool: str, place: SnapshotPlace) -> None:
        """Remove a snapshot; nothing happens when it is gone."""
        await in_thread(self._pools.driver(pool).delete_snapshot, _snapshot(place))

    async def put_in_snapshot(self, pool: str, place: SnapshotPlace, put: Callable[[Path], None]) -> None:
        """Have something put beside the root of a snapshot, to which nobody can write else. Raises OSError."""
        driver, snapshot = self._pools.driver(pool), _snapshot(place)

        def work() -> None:
            with driver.unheld(snapshot):
                put(driver.snapshot_path(snapshot))

        await in_thread(work)

    async def rename_snapshot(self, pool: str, place: SnapshotPlace, new_name: str) -> None:
        """Give a snapshot another name."""
        await in_thread(self._pools.driver(pool).rename_snapshot, _snapshot(place), new_name)

    async def mount_snapshot(self, pool: str, place: SnapshotPlace) -> MountedRoot:
        """Make the files visible with their plain owners, for one more reader."""
        self._readers[place] += 1
        try:
            return await in_thread(self._pools.driver(pool).mount_snapshot, _snapshot(place))
        except BaseException:  # also when it is mounted, and the reader was cancelled meanwhile
            await finished(self.unmount_snapshot(pool, place))
            raise

    async def unmount_snapshot(self, pool: str, place: SnapshotPlace) -> None:
        """One reader has done; with the last the mount goes."""
        self._readers[place] -= 1
        if not self._readers[place]:
            del self._readers[place]
            self._departures.happened()
            await in_thread(self._pools.driver(pool).unmount_snapshot, _snapshot(place))

    @asynccontextmanager
    async def reading(self, pool: str, places: Sequence[SnapshotPlace]) -> AsyncGenerator[None, None]:
        """Snapshots that are read without their mounts while the context lasts: they stay, with their instance."""
        self._readers.update(places)
        try:
            yield
        finally:
            await finished(self._let_go(pool, places))

    @contextmanager
    def reading_in_place(
        self, project: str, name: str, action: str, *, starts: bool = False
    ) -> Generator[None, None, None]:
        """The files of an instance are read where they are, without its lock, for an action in LXD's word.

        It may end meanwhile, and others may read it, too; it gets no other files, and starts only where the reader can
        do with that.
        """
        reading = Reading(action, starts)
        self._in_place.setdefault((project, name), []).append(reading)
        try:
            yield
        finally:
            readings = self._in_place[project, name]
            readings.remove(reading)
            if not readings:
                del self._in_place[project, name]
            self._departures.happened()

    async def read_to_end(self, project: str, name: str) -> None:
        """Wait a moment for those who read an instance; without its lock, which the last of them may need."""

        def is_over() -> bool:
            return (project, name) not in self._in_place and all(one[:2] != (project, name) for one in self._readers)

        await self._departures.until(is_over)

    def check_startable(self, project: str, name: str) -> None:
        """As `check_not_read`, while there are readers who cannot do with writers."""
        for reading in self._in_place.get((project, name), ()):
            if not reading.starts:
                raise busy(name, reading.action)

    def check_not_read(self, project: str, name: str) -> None:
        """Raise Conflict, with LXD's text for what is busy, while somebody reads an instance's files in place."""
        for reading in self._in_place.get((project, name), ()):
            raise busy(name, reading.action)

    async def _let_go(self, pool: str, places: Sequence[SnapshotPlace]) -> None:
        for place in places:
            try:
                await self.unmount_snapshot(pool, place)
            except Failure as failure:  # it is mounted on, and read by nobody
                log.warning("a snapshot was not unmounted: %s", failure.message())

    def check_unread(self, project: str, instance: str, snapshot: str = "") -> None:
        """Raise Conflict while somebody reads a snapshot, or any of an instance, or it itself."""
        if not snapshot:
            self.check_not_read(project, instance)
        for place in self._readers:
            if place[:2] == (project, instance) and snapshot in ("", place.name):
                name = f"{place.instance}/{place.name}"
                raise Conflict("snapshot", name, cause="it is being read", remedy="wait until that is done")

    def has_snapshot(self, pool: str, place: SnapshotPlace) -> bool:
        """Whether a snapshot is on the disk."""
        return self._pools.driver(pool).has_snapshot(_snapshot(place))

    def snapshot_directory(self, pool: str, place: SnapshotPlace) -> Path:
        """The snapshot's directory, which holds metadata.yaml and templates."""
        return self._pools.driver(pool).snapshot_path(_snapshot(place))

    async def snapshot_size(self, pool: str, place: SnapshotPlace) -> int | None:
        """Bytes on disk that were written since the snapshot before; None where the pool cannot tell soon."""
        return await in_thread(self._pools.driver(pool).snapshot_size, _snapshot(place))


def busy(name: str, action: str) -> Conflict:
    """The refusal of what cannot be done to an instance during an action. Source: LXD 5.0.2, operationlock."""
    text = f'Instance is busy running a "{action}" operation'
    return Conflict("instance", name, text=text, remedy="wait until that is done, or cancel it: lxc operation list")


def size_of(devices: Devices) -> str:
    """The size of the root disk, "" for none."""
    root = root_device(devices)
    return root[1].get("size", "") if root else ""


def _snapshot(place: SnapshotPlace) -> Snapshot:
    return Snapshot(_volume(place.project, place.instance), place.name)


def _volume(project: str, name: str) -> Volume:
    return Volume(kind="containers", name=volume_name(project, name))
