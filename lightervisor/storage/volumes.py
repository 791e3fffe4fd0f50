"""Custom storage volumes, and what else lies in a pool as clients see it.

A volume is a row and what the pool's driver keeps. A row says what is being done to it before it is done, so that a
daemon that starts can finish or undo it. Source: LXD, /1.0/storage-pools/<pool>/volumes; texts of LXD 5.0.2.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from lightervisor.config import sizes
from lightervisor.config.key import REGISTRY
from lightervisor.config.merge import without_empty
from lightervisor.config.types import is_true
from lightervisor.db.storage_volumes import CREATED, PENDING, RENAMED, RENAMING, TAKEN, VolumeRow, VolumeRows
from lightervisor.errors import Conflict, Failure, Invalid, NotFound, Unsupported
from lightervisor.events.stream import Events
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
from lightervisor.storage.driver import StorageDriver, Volume
from lightervisor.storage.keys_volume import DEFAULTS, SCOPE
from lightervisor.storage.pools import Pools
from lightervisor.storage.users import PoolUsers

log = logging.getLogger(__name__)
TYPES = ("container", "virtual-machine", "custom", "image")
LONGEST = 255 - len("default_")


class Volumes:
    """The volumes of all pools.

    `is_running(project, name)` tells whether an instance runs, `describe` writes down in its pool what it is: that
    names the volumes which are its disks.
    """

    def __init__(
        self,
        rows: VolumeRows,
        pools: Pools,
        users: PoolUsers,
        events: Events,
        is_running: Callable[[str, str], bool],
        describe: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._rows, self._pools, self._users = rows, pools, users
        self._events, self._is_running = events, is_running
        self._describe, self._lock = describe, asyncio.Lock()

    async def recover(self) -> None:
        """The daemon starts: finish what an earlier one began, in pools that are available."""
        for row in self._rows.all():
            try:
                await self._settle(row)
            except Failure as failure:
                log.error("volume %s of pool %s: %s", row.name, row.pool, failure.message())

    async def _settle(self, row: VolumeRow) -> None:
        """Remove what was being made or removed, name what was being renamed as its row does."""
        driver, volume = self._pools.keeper(row.pool), custom_volume(row.project, row.name)
        if row.state == PENDING:
            await in_thread(driver.delete_volume, volume)
            await self._rows.delete(row)
        elif row.state.startswith(RENAMING):
            new = custom_volume(row.project, row.state.removeprefix(RENAMING))
            if driver.has_volume(new) and not driver.has_volume(volume):
                await in_thread(driver.rename_volume, new, volume)
            await self._rows.replace(msgspec.structs.replace(row, state=CREATED))
        elif row.state == RENAMED:
            for user in self._users.instances_with(row.pool, row.project, row.name):
                await self._describe(row.project, user)
            await self._rows.replace(msgspec.structs.replace(row, state=CREATED))

    # Reading

    def list(self, pool: str, project: str | None, type: str = "") -> list[StorageVolume]:
        """What is in a pool, by type and name; of one type when given. Raises NotFound, Invalid with LXD's text."""
        check_type(type)
        driver = self._pools.driver(pool)
        found: list[StorageVolume] = []
        if type in ("", "container"):
            found += [_of_instance(row.project, row.name) for row in self._users.rooted_in(pool, project)]
        if type in ("", "custom"):
            rows = self._rows.list(pool, project)
            used = {one: self._users.by_volume(pool, one) for one in {row.project for row in rows}}
            found += [_view(row, used[row.project].get(row.name, [])) for row in rows]
        if type in ("", "image"):
            found += [_of_image(fingerprint) for fingerprint in driver.images()]
        return found

    def get(self, pool: str, project: str, type: str, name: str) -> StorageVolume:
        """One volume. Raises NotFound, Invalid with LXD's texts."""
        if type == "custom":
            self._pools.driver(pool)
            return _view(self._rows.get(pool, project, name), self._users.of_volume(pool, project, name))
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

    def opener(self, pool: str, project: str, source: str) -> "Opener":
        """What a disk needs of the volume that it names. Raises NotFound with LXD's texts."""
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
        return Opener(
            driver.keeper("custom"), custom_volume(project, name), unmapped=is_true(row.config.get("security.unmapped"))
        )

    # Changing

    async def create(
        self, pool: str, project: str, post: StorageVolumesPost, requestor: EventLifecycleRequestor | None = None
    ) -> None:
        """Make an empty volume, whole or not at all. Raises Invalid with LXD's texts, Conflict, NotFound, HostError."""
        driver = self._pools.keeper(pool)
        check_name(post.name)
        if post.type not in ("", "custom"):
            check_type(post.type)
            raise Invalid("volume", text=f'Currently not allowed to create storage volumes of type "{post.type}"')
        if post.content_type not in ("", "filesystem"):
            if post.content_type != "block":
                raise Invalid("volume", text="Invalid volume content type name")
            raise Unsupported("storage volume", post.name, cause="volumes of blocks are for virtual machines")
        if post.source.type or post.source.name:
            raise Unsupported("storage volume", post.name, cause="copying volumes is not offered yet")
        defaults = {
            key.removeprefix(DEFAULTS): value for key, value in driver.config.items() if key.startswith(DEFAULTS)
        }
        config = without_empty({**defaults, **post.config})
        check_config(project, post.name, config)
        row = VolumeRow(
            pool=pool, project=project, name=post.name, created_at=now(), description=post.description, config=config
        )
        async with self._lock:
            for old in self._rows.all(pool, project):
                if old.name == post.name and old.state == PENDING:  # what could not be removed
                    await self._settle(old)
            self._check_nobodys(driver, row)
            await self._rows.add(row)
            try:
                await in_thread(_make, driver, custom_volume(project, post.name), config.get("size", ""))
                await self._rows.replace(msgspec.structs.replace(row, state=CREATED))
            except BaseException:
                await finished(self._settle(row))
                raise
        self._publish("created", row, requestor)

    def names(self, pool: str) -> set[tuple[str, str]]:
        """Projects and names of a pool's custom volumes, also of those that are being made or removed."""
        return {(row.project, row.name) for row in self._rows.all(pool)}

    async def adopt(self, pool: str, project: str, name: str) -> None:
        """Store a volume whose files are there already. Raises Invalid for its name, Conflict when it is known."""
        check_name(name)
        await self._rows.add(VolumeRow(pool=pool, project=project, name=name, created_at=now(), state=CREATED))

    async def forget(self, pool: str, project: str, name: str) -> None:
        """Undo `adopt`: its files stay. Nothing happens when it is forgotten already."""
        for row in self._rows.all(pool, project):
            if row.name == name:
                await self._rows.delete(row)

    def _check_nobodys(self, driver: StorageDriver, row: VolumeRow) -> None:
        """Raise Conflict for files that no row tells of: nobody's volume is made of them, and none removes them."""
        volume, known = custom_volume(row.project, row.name), self._rows.all(row.pool, row.project)
        if driver.has_volume(volume) and not any(old.name == row.name for old in known):
            cause = f"storage pool {row.pool!r} holds files of this name that belong to no volume"
            remedy = f"move {driver.volume_path(volume)} out of the pool"
            raise Conflict("storage volume", row.name, cause=cause, remedy=remedy)

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
        """PUT, or PATCH with `merge`: description and configuration. Raises Invalid, NotFound, Unsupported."""
        if put.restore:
            raise Unsupported("snapshot", cause="snapshots of volumes are not offered yet")
        async with self._lock:
            old = self._rows.get(pool, project, name)
            config = without_empty({**old.config, **put.config} if merge else put.config)
            check_config(project, name, {**put.config, **config})
            description = put.description or (old.description if merge else "")
            new = msgspec.structs.replace(old, description=description, config=config)
            await self._change(self._pools.keeper(pool), old, new)
        self._publish("updated", old, requestor)

    async def _change(self, driver: StorageDriver, old: VolumeRow, new: VolumeRow) -> None:
        """The size first, as it may be refused; it is put back when the row cannot be stored."""
        before, after = (sizes.parse(row.config.get("size") or "0") for row in (old, new))
        volume = custom_volume(old.project, old.name)
        if before != after:
            await in_thread(driver.resize, volume, after)
        try:
            await self._rows.replace(new)
        except BaseException:
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
        driver = self._pools.keeper(pool)
        async with self._lock:
            row = self._rows.get(pool, project, name)
            if any(one.name == new for one in self._rows.all(pool, project)):
                raise Conflict("storage volume", new, text=TAKEN)
            users = self._users.instances_with(pool, project, name)
            if running := [user for user in users if self._is_running(project, user)]:
                remedy = f"lxc stop {' '.join(running)}"
                raise Invalid("storage volume", name, text="Volume is still in use by running instances", remedy=remedy)
            under_way = msgspec.structs.replace(row, state=f"{RENAMING}{new}")
            await self._rows.replace(under_way)
            try:
                await in_thread(driver.rename_volume, custom_volume(project, name), custom_volume(project, new))
                await self._rows.rename(row, new)
            except BaseException:
                if not any(one.name == new for one in self._rows.all(pool, project)):
                    await finished(self._settle(under_way))
                raise
            await finished(self._settle(self._rows.get(pool, project, new)))
        context = {"old_name": name}
        self._publish("renamed", msgspec.structs.replace(row, name=new), requestor, context)

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
        driver = driver.keeper("custom")
        if type != "custom":
            text = f'Storage volumes of type "{type}" cannot be deleted with the storage API'
            raise Invalid("storage volume", name, text=text, remedy=f"lxc delete {name}")
        async with self._lock:
            row = self._rows.get(pool, project, name)
            if users := self._users.of_volume(pool, project, name):
                remedy = f"it is a disk of {', '.join(user.rpartition('/')[2] for user in users)}"
                raise Invalid("storage volume", name, text="The storage volume is still in use", remedy=remedy)
            await self._rows.replace(msgspec.structs.replace(row, state=PENDING))
            try:
                await in_thread(driver.delete_volume, custom_volume(project, name))
            except BaseException:
                if driver.has_volume(custom_volume(project, name)):
                    await finished(self._rows.replace(row))
                raise
            await self._rows.delete(row)
        self._publish("deleted", row, requestor)

    def _publish(
        self,
        action: str,
        row: VolumeRow,
        requestor: EventLifecycleRequestor | None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        source = f"/1.0/storage-pools/{row.pool}/volumes/custom/{row.name}"
        told = {"type": "custom", **(context or {})}
        self._events.lifecycle(
            f"storage-volume-{action}", source, project=row.project, context=told, requestor=requestor
        )


class Opener:
    """Opens a volume's root when a disk is mounted."""

    def __init__(self, driver: StorageDriver, volume: Volume, *, unmapped: bool) -> None:
        self._driver, self._volume, self.unmapped = driver, volume, unmapped

    def __call__(self) -> int:
        """A descriptor: the caller's to close. Raises NotFound, HostError."""
        return self._driver.open_volume(self._volume)


def check_type(type: str) -> None:
    """Raise Invalid with LXD's text for what is no type of volume."""
    if type and type not in TYPES:
        raise Invalid("volume type", type, text="Invalid storage volume type name")


def check_name(name: str) -> None:
    """Raise Invalid with LXD's texts for what cannot be the name of a volume."""
    if not name:
        raise Invalid("storage volume", text="No name provided")
    if "/" in name:
        raise Invalid("storage volume", name, text="Storage volume names may not contain slashes")
    if any(ord(char) < 32 or ord(char) == 127 for char in name) or len(name.encode()) > LONGEST:
        raise Invalid("storage volume", name, text=f"Invalid storage volume name {name!r}")


def check_config(project: str, name: str, config: Mapping[str, str]) -> None:
    """Check each key alone. Raises Invalid with LXD's texts."""
    volume = f'volume "{project}_{name}"'
    for key in sorted(config):
        try:
            REGISTRY.check(SCOPE, key, config[key])
        except Invalid as error:
            known = REGISTRY.lookup(SCOPE, key) is not None
            text = f'Invalid option for {volume} option "{key}"'
            if known:
                text = f'Invalid value for {volume} option "{key}": {error.sentence()}'
            raise Invalid("storage volume", key, text=text, remedy=error.remedy) from error


def _make(driver: StorageDriver, volume: Volume, size: str) -> None:
    driver.create_volume(volume, None)
    if size:
        driver.resize(volume, sizes.parse(size))


def _view(row: VolumeRow, used_by: "list[str]") -> StorageVolume:
    return StorageVolume(
        name=row.name,
        type="custom",
        config=row.config,
        description=row.description,
        content_type=row.content_type,
        project=row.project,
        created_at=row.created_at,
        used_by=used_by,
    )


def custom_volume(project: str, name: str) -> Volume:
    """Where a custom volume is in its pool."""
    return Volume("custom", f"{project}_{name}")


def _of_instance(project: str, name: str) -> StorageVolume:
    url = f"/1.0/instances/{name}" + ("" if project == "default" else f"?project={project}")
    return StorageVolume(name=name, type="container", project=project, used_by=[url])


def _of_image(fingerprint: str) -> StorageVolume:
    return StorageVolume(name=fingerprint, type="image", used_by=[f"/1.0/images/{fingerprint}"])
