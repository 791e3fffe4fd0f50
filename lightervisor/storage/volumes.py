"""Custom storage volumes, and what else lies in a pool as clients see it.

A volume is a row and what the pool's driver keeps. A row says what is being done to it before it is done, so that a
daemon that starts can finish or undo it. Source: LXD, /1.0/storage-pools/<pool>/volumes; texts of LXD 5.0.2.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import msgspec

from lightervisor.config import sizes
from lightervisor.config.key import REGISTRY
from lightervisor.config.merge import without_empty
from lightervisor.config.names import VolumePlace
from lightervisor.config.types import is_true
from lightervisor.db.storage_volumes import CREATED, MOVED, PENDING, RENAMING, TAKEN, VolumeRow
from lightervisor.db.volume_snapshots import VolumeSnapshotRow
from lightervisor.errors import Conflict, Failure, Invalid, NotFound, Unsupported
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.storage_volume import (
    StorageVolume,
    StorageVolumePut,
    StorageVolumesPost,
    StorageVolumeState,
    StorageVolumeStateUsage,
)
from lightervisor.model.times import now
from lightervisor.operations.locks import volume_lock
from lightervisor.storage.driver import StorageDriver, Volume
from lightervisor.storage.keys_volume import DEFAULTS, SCOPE
from lightervisor.storage.layout import DESCRIPTION
from lightervisor.storage.volume_acts import OUTDATED, VolumeActs, place_of, volume_of
from lightervisor.storage.volume_opener import Opener
from lightervisor.storage.volume_rules import changed, check_config, check_name, check_post, check_type, custom_volume

log = logging.getLogger(__name__)
Rows = Sequence[VolumeSnapshotRow]
Listed = list[StorageVolume]


class Volumes:
    """The volumes of all pools."""

    def __init__(self, acts: VolumeActs) -> None:
        self._acts, self._rows, self._pools, self._users = acts, acts.rows, acts.pools, acts.users

    async def recover(self) -> None:
        """The daemon starts: finish what an earlier one began, in pools that are available."""
        for row in self._rows.all():
            try:
                await self.settle(row)
                if row.state == CREATED:
                    await self._describe_if_outdated(row)
            except Failure as failure:
                log.error("volume %s of pool %s: %s", row.name, row.pool, failure.message())

    async def _describe_if_outdated(self, row: VolumeRow) -> None:
        """What was made before there were descriptions has none, and what was just restored when a daemon died."""
        directory = self._pools.keeper(row.pool).volume_path(custom_volume(row.project, row.name))
        file = directory / DESCRIPTION
        if directory.is_dir() and (not file.is_file() or file.stat().st_mtime == OUTDATED):
            await self._acts.describe(place_of(row))

    async def settle(self, row: VolumeRow) -> None:
        """Finish or undo what a row tells of; the caller holds the locks of all that it names. Raises HostError."""
        driver, volume = self._pools.keeper(row.pool), custom_volume(row.project, row.name)
        if row.state == PENDING:
            await in_thread(driver.delete_volume, volume)
            await self._acts.forget(row)
            return
        if row.state == CREATED:
            return
        if row.state.startswith(RENAMING):
            new = custom_volume(row.project, row.state.removeprefix(RENAMING))
            if driver.has_volume(new) and not driver.has_volume(volume):
                await in_thread(driver.rename_volume, new, volume)
        else:  # what shows it has another name or place of it, which their descriptions are to tell
            for user in self._users.instances_with(row.pool, row.project, row.name):
                await self._acts.guests.describe(row.project, user)
            await self._acts.describe_done(place_of(row))
        if row.state.startswith(MOVED):
            pool, _, name = row.state.removeprefix(MOVED).partition("/")
            await self._clear(VolumePlace(pool, row.project, name))
        await self._rows.replace(msgspec.structs.replace(row, state=CREATED))

    async def _clear(self, place: VolumePlace) -> None:
        """What was moved away from a place goes, unless another volume stands there by now. Raises HostError."""
        if not any(one.name == place.name for one in self._rows.all(place.pool, place.project)):
            await in_thread(self._acts.keeper(place).delete_volume, volume_of(place))

    async def _settle_moved(self, place: VolumePlace) -> None:
        """Before a volume gets a place: what one that was moved away has left there goes. Raises HostError."""
        left = f"{MOVED}{place.pool}/{place.name}"
        if any(one.project == place.project and one.state == left for one in self._rows.all()):
            await self._clear(place)

    async def settled(self, place: VolumePlace) -> VolumeRow:
        """The row of a volume that nobody uses, settled: only one thing at a time is noted. Raises NotFound."""
        await self.settle(self._rows.get(*place))
        return self._rows.get(*place)

    # Reading

    def list(self, pool: str, project: str | None, type: str = "") -> Listed:
        """What is in a pool, by type and name; of one type when given. Raises NotFound, Invalid with LXD's text."""
        check_type(type)
        driver = self._pools.driver(pool)
        found: Listed = []
        if type in ("", "container"):
            found += [_of_instance(row.project, row.name) for row in self._users.rooted_in(pool, project)]
        if type in ("", "custom"):
            found += self._customs(pool, project)
        if type in ("", "image"):
            found += [_of_image(fingerprint) for fingerprint in driver.images()]
        return found

    def _customs(self, pool: str, project: str | None) -> Listed:
        """Custom volumes, each before its snapshots, which are named after it."""
        rows = self._rows.list(pool, project)
        used = {one: self._users.by_volume(pool, one) for one in {row.project for row in rows}}
        kept: dict[tuple[str, str], Listed] = {}
        for one in self._acts.snapshots.everything(pool, project):
            kept.setdefault((one.volume.project, one.volume.name), []).append(_of_snapshot(one))
        found: Listed = []
        for row in rows:
            found.append(self._acts.view(row, used[row.project].get(row.name, [])))
            found += kept.get((row.project, row.name), [])
        return found

    def get(self, pool: str, project: str, type: str, name: str) -> StorageVolume:
        """One volume. Raises NotFound, Invalid with LXD's texts."""
        if type == "custom":
            self._pools.driver(pool)
            return self._acts.view(self._rows.get(pool, project, name), self._users.of_volume(pool, project, name))
        for one in self.list(pool, project, type):
            if one.name == name:
                return one
        raise NotFound("storage pool volume", name)

    async def state(self, pool: str, project: str, type: str, name: str) -> StorageVolumeState:
        """What a volume takes of its pool."""
        found, driver = self.get(pool, project, type, name), self._pools.driver(pool)
        if type == "custom":
            volume = custom_volume(project, name)
        elif type == "container":
            volume = Volume("containers", name if project == "default" else f"{project}_{name}")
        else:
            raise Unsupported("storage volume", found.name, text="Not supported")
        driver = driver.keeper(volume.kind)
        figures = await in_thread(driver.figures, volume)
        if figures is not None:
            return StorageVolumeState(usage=StorageVolumeStateUsage(used=figures.used, total=figures.limit))
        return StorageVolumeState(usage=StorageVolumeStateUsage(used=await in_thread(driver.size, volume)))

    def opener(self, pool: str, project: str, source: str, user: str) -> Opener:
        """What a disk of an instance needs of the volume that it names. Raises NotFound with LXD's texts."""
        name = source.removeprefix("custom/")
        try:
            driver = self._pools.driver(pool)
        except NotFound as error:
            text = f'Failed to get storage pool "{pool}": Storage pool not found'
            raise NotFound("storage pool", pool, text=text, remedy="lxc storage list") from error
        try:
            row = self._rows.get(pool, project, name)
        except NotFound as error:
            text, remedy = "Failed loading custom volume: Storage volume not found", f"lxc storage volume list {pool}"
            raise NotFound("storage volume", name, text=text, remedy=remedy) from error
        place, unmapped = place_of(row), is_true(row.config.get("security.unmapped"))
        return Opener(driver.keeper("custom"), place, lambda: self._acts.check_open(place, user), unmapped=unmapped)

    # Changing

    async def create(
        self, pool: str, project: str, post: StorageVolumesPost, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Make an empty volume, whole or not at all. Raises Invalid with LXD's texts, Conflict, NotFound, HostError."""
        row = self.planned(pool, project, post)
        place, driver = place_of(row), self._pools.keeper(pool)
        async with self._acts.locks.hold([volume_lock(*place)]), self.bringing(row):
            await in_thread(driver.create_volume, volume_of(place), None)
        self._acts.publish("created", place, requestor)

    def planned(self, pool: str, project: str, post: StorageVolumesPost) -> VolumeRow:
        """The row of a new volume: what is given, and what the pool gives to new ones. Raises Invalid, NotFound."""
        check_post(post)
        driver = self._pools.driver(pool)
        given = {key.removeprefix(DEFAULTS): value for key, value in driver.config.items() if key.startswith(DEFAULTS)}
        defaults = {key: value for key, value in given.items() if REGISTRY.lookup(SCOPE, key)}  # else the driver's
        config = without_empty({**defaults, **post.config})
        check_config(project, post.name, config)
        return VolumeRow(
            pool=pool, project=project, name=post.name, created_at=now(), description=post.description, config=config
        )

    @asynccontextmanager
    async def bringing(self, row: VolumeRow, snapshots: Rows = ()) -> AsyncGenerator[None, None]:
        """While the context lasts the files of a new volume and of its snapshots are made; then they are stored.

        It is there whole or not at all. The caller holds its lock. Raises Conflict with LXD's text for a taken name,
        HostError.
        """
        async with self.taking_place(row):
            yield
            await self.size(row)
            await self._rows.complete(row, snapshots)
            await self._acts.describe(place_of(row))

    async def size(self, row: VolumeRow) -> None:
        """Give a new volume the size that it is to have. Raises Failure."""
        if size := sizes.parse(row.config.get("size") or "0"):
            await in_thread(self._pools.keeper(row.pool).resize, volume_of(place_of(row)), size)

    @asynccontextmanager
    async def taking_place(self, row: VolumeRow) -> AsyncGenerator[None, None]:
        """A row that is being made holds the place of a new volume; it goes with all its files when this fails.

        Raises Conflict, HostError.
        """
        if self._is_pending(row):  # what could not be removed
            await self.settle(msgspec.structs.replace(row, state=PENDING))
        await self._settle_moved(place_of(row))
        self._check_nobodys(place_of(row))
        is_added = False
        try:
            await self._rows.add(row)
            is_added = True
            yield
        except BaseException:
            if is_added or self._is_pending(row):  # what is cancelled may have been added all the same
                await finished(self._unmake(row))
            raise

    def _is_pending(self, row: VolumeRow) -> bool:
        """Whether a volume of this name is being made or removed."""
        return any(one.name == row.name and one.state == PENDING for one in self._rows.all(row.pool, row.project))

    async def _unmake(self, row: VolumeRow) -> None:
        """Nothing happens to what was moved there, all of it, before this failed."""
        found = [one for one in self._rows.all(row.pool, row.project) if one.name == row.name]
        if all(one.state in (PENDING, CREATED) for one in found):
            await self._rows.replace(row)
            await self.settle(row)

    def _check_nobodys(self, place: VolumePlace) -> None:
        """Raise Conflict for files that no row tells of: nobody's volume is made of them, and none removes them."""
        driver, volume = self._acts.keeper(place), volume_of(place)
        if any(old.name == place.name for old in self._rows.all(place.pool, place.project)):
            return
        found = [driver.volume_path(volume)] if driver.has_volume(volume) else []
        if found := found + [driver.snapshot_path(one).parent for one in driver.snapshots(volume)]:
            cause = f"storage pool {place.pool!r} holds files of this name that belong to no volume"
            raise Conflict("storage volume", place.name, cause=cause, remedy=f"move {found[0]} out of the pool")

    def names(self, pool: str) -> set[tuple[str, str]]:
        """Projects and names of a pool's custom volumes, also of those that are being made or removed."""
        return {(row.project, row.name) for row in self._rows.all(pool)}

    async def adopt(self, row: VolumeRow, snapshots: Rows) -> None:
        """Store a volume whose files are there already, and those of its snapshots. Raises Conflict when it is known.

        `forget` undoes it also when it was cut off in the middle.
        """
        stands = msgspec.structs.replace(row, state=CREATED)
        await self._rows.add(stands)
        await self._rows.complete(stands, snapshots)

    async def forget(self, pool: str, project: str, name: str) -> None:
        """Undo `adopt`: its files stay. Nothing happens when it is forgotten already."""
        for row in self._rows.all(pool, project):
            if row.name == name:
                await self._rows.delete(row)

    async def replace(
        self,
        pool: str,
        project: str,
        name: str,
        put: StorageVolumePut,
        requestor: EventLifecycleRequestor | None = None,
        *,
        merge: bool = False,
    ) -> None:
        """PUT, or PATCH with `merge`: description and configuration. Raises Invalid, NotFound."""
        place = VolumePlace(pool, project, name)
        self._acts.locks.check_idle([volume_lock(*place)])
        async with self._acts.locks.hold([volume_lock(*place)]):
            old = self._rows.get(*place)
            config = changed(place, old.config, put, merge=merge)
            description = put.description or (old.description if merge else "")
            new = msgspec.structs.replace(old, description=description, config=config)
            await self._change(self._pools.keeper(pool), old, new)
        self._acts.publish("updated", place, requestor)

    async def _change(self, driver: StorageDriver, old: VolumeRow, new: VolumeRow) -> None:
        """The size first, as it may be refused; it is put back when the row cannot be stored."""
        before, after = (sizes.parse(row.config.get("size") or "0") for row in (old, new))
        volume = custom_volume(old.project, old.name)
        if before != after:
            await in_thread(driver.resize, volume, after)
        try:
            await self._rows.replace(new)
            await self._acts.describe(place_of(new))
        except BaseException:
            await finished(self._rows.replace(old))
            if before != after:
                await finished(in_thread(driver.resize, volume, before))
            raise

    async def rename(
        self, pool: str, project: str, name: str, new: str, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Give a volume another name, with the disks that show it; none of them may be in use.

        Raises Invalid with LXD's texts, Conflict, NotFound.
        """
        check_name(new)
        place = VolumePlace(pool, project, name)
        driver, renamed = self._pools.keeper(pool), place._replace(name=new)
        locks = [volume_lock(*place), volume_lock(*renamed)]
        await self._acts.soon_idle(place, renamed)
        async with self._acts.locks.hold(locks), self._acts.unused(place):
            row = await self.settled(place)
            self.check_free(renamed)
            await self._settle_moved(renamed)
            self._check_nobodys(renamed)
            under_way = msgspec.structs.replace(row, state=f"{RENAMING}{new}")
            await self._rows.replace(under_way)
            try:
                await in_thread(driver.rename_volume, volume_of(place), volume_of(renamed))
                await self._rows.rename(row, new)
            except BaseException:
                if not any(one.name == new for one in self._rows.all(pool, project)):
                    await finished(self.settle(under_way))
                raise
            await finished(self.settle(self._rows.get(*renamed)))
        self._acts.publish("renamed", renamed, requestor, {"old_name": name})

    def check_free(self, place: VolumePlace) -> None:
        """Raise Conflict with LXD's text when a volume has this place."""
        if any(one.name == place.name for one in self._rows.all(place.pool, place.project)):
            raise Conflict("storage volume", place.name, text=TAKEN)

    async def delete(
        self, pool: str, project: str, type: str, name: str, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Delete a volume that nobody uses, or the unpacked files of an image. Raises Invalid with LXD's texts."""
        check_type(type)
        driver = self._pools.driver(pool)
        if type == "image":
            self.get(pool, project, type, name)
            await in_thread(driver.delete_image, name)
            return
        if type != "custom":
            text = f'Storage volumes of type "{type}" cannot be deleted with the storage API'
            raise Invalid("storage volume", name, text=text, remedy=f"lxc delete {name}")
        place = VolumePlace(pool, project, name)
        await self._acts.soon_idle(place)
        async with self._acts.locks.hold([volume_lock(*place)]):
            with self._acts.closed(place):
                async with self._acts.left_alone(place):  # who was about to show it
                    await self._delete(place)
        self._acts.publish("deleted", place, requestor)

    async def _delete(self, place: VolumePlace) -> None:
        keeper = self._acts.keeper(place)
        row = await self.settled(place)
        if users := self._users.of_volume(*place):
            remedy = f"it is a disk of {', '.join(user.rpartition('/')[2] for user in users)}"
            raise Invalid("storage volume", place.name, text="The storage volume is still in use", remedy=remedy)
        await self._rows.replace(msgspec.structs.replace(row, state=PENDING))
        try:
            await in_thread(keeper.delete_volume, volume_of(place))
        except BaseException:
            if keeper.has_volume(volume_of(place)):
                await finished(self._rows.replace(row))
            raise
        await self._acts.forget(row)


def _of_snapshot(row: VolumeSnapshotRow) -> StorageVolume:
    return StorageVolume(
        name=f"{row.volume.name}/{row.name}",
        type="custom",
        config=row.config,
        description=row.description,
        project=row.volume.project,
        created_at=row.created_at,
    )


def _of_instance(project: str, name: str) -> StorageVolume:
    url = f"/1.0/instances/{name}" + ("" if project == "default" else f"?project={project}")
    return StorageVolume(name=name, type="container", project=project, used_by=[url])


def _of_image(fingerprint: str) -> StorageVolume:
    return StorageVolume(name=fingerprint, type="image", used_by=[f"/1.0/images/{fingerprint}"])
