"""Storage pools: their rows, their drivers, and who uses them.

A pool is a row and what its driver keeps on disk. A row is "pending" until the directories stand; a daemon that died
before that removes both at the next start. A pool that cannot be brought up at start is Unavailable, with the reason,
and the rest of the server works. Source: LXD, /1.0/storage-pools; texts compared with LXD 5.0.2.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lightervisor.config.key import REGISTRY
from lightervisor.config.merge import without_empty
from lightervisor.db.storage_pools import PoolRow, PoolRows
from lightervisor.errors import Conflict, Failure, Invalid, NotFound, Unavailable, Unsupported
from lightervisor.events.stream import Events
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.resources import ResourcesStoragePool, ResourcesStoragePoolInodes, ResourcesStoragePoolSpace
from lightervisor.model.storage_pool import StoragePool, StoragePoolPut, StoragePoolsPost
from lightervisor.storage.driver import StorageDriver, storage_driver, storage_drivers

log = logging.getLogger(__name__)

Users = Callable[[str], list[str]]


class Choice(Struct, frozen=True):
    """The driver for a pool that asks for none, and why a better one cannot be had ("" when it is the best)."""

    driver: str
    reason: str = ""


class Pools:
    """The pools of this server. `directory` is $LXD_DIR/storage-pools; `users(pool)` lists URLs of what is in one."""

    def __init__(self, rows: PoolRows, directory: Path, events: Events, users: Users) -> None:
        self._rows, self._directory, self._events, self._users = rows, directory, events, users
        self._drivers: dict[str, StorageDriver] = {}
        self._failures: dict[str, Failure] = {}
        self._lock = asyncio.Lock()

    # Life of the daemon

    async def start(self) -> None:
        """Make each pool usable and remove what an earlier daemon left unfinished in it."""
        for row in self._rows.list():
            driver = self._made(row)
            try:
                if row.state == "pending":
                    await asyncio.to_thread(driver.abandon)
                    await self._rows.delete(row.name)
                    self._drivers.pop(row.name)
                else:
                    await asyncio.to_thread(driver.create)
            except Failure as failure:
                log.error("Storage pool %s is unavailable: %s", row.name, failure.message())
                self._failures[row.name] = failure

    async def stop(self) -> None:
        """Wait, not for long, until what was deleted is off the disk; the rest is done at the next start."""
        for driver in self._drivers.values():
            await asyncio.to_thread(driver.layout.trash.wait, 5.0)

    # Reading

    def list(self) -> list[StoragePool]:
        """All pools, by name."""
        return [self._view(row) for row in self._rows.list()]

    def get(self, name: str) -> StoragePool:
        """One pool. Raises NotFound."""
        return self._view(self._rows.get(name))

    def row(self, name: str) -> PoolRow:
        """One pool as it is stored. Raises NotFound."""
        return self._rows.get(name)

    def described(self, name: str) -> StoragePool:
        """One pool as descriptions of what lies in it tell of it: without its users. Raises NotFound."""
        return _described(self._rows.get(name))

    def usage(self, name: str) -> ResourcesStoragePool:
        """Space and inodes of a pool. Raises NotFound, Unavailable."""
        usage = self.driver(name).usage()
        return ResourcesStoragePool(
            space=ResourcesStoragePoolSpace(used=usage.space_used, total=usage.space_total),
            inodes=ResourcesStoragePoolInodes(used=usage.inodes_used, total=usage.inodes_total),
        )

    def driver(self, name: str) -> StorageDriver:
        """The driver of a pool. Raises NotFound, Unavailable with the reason."""
        row = self._rows.get(name)
        if failure := self._failures.get(name):
            raise Unavailable("storage pool", name, cause=failure.sentence(), remedy=failure.remedy)
        return self._made(row)

    def keeper(self, name: str) -> StorageDriver:
        """The driver that keeps the custom volumes of a pool. Raises as `driver`."""
        return self.driver(name).keeper("custom")

    def usable(self) -> "list[StorageDriver]":
        """The drivers of all pools that are available."""
        return [self._made(row) for row in self._rows.list() if row.name not in self._failures]

    def choose_default(self) -> Choice:
        """The best driver that works here: a blocking call. Raises Unsupported with every driver's reason."""
        refused: list[str] = []
        for name, kind in sorted(storage_drivers().items(), key=lambda item: item[1].RANK):
            try:
                kind.probe(self._directory)
            except Unsupported as refusal:
                refused.append(f"{name}: {refusal.cause}")
            else:
                return Choice(name, "; ".join(refused))
        raise Unsupported("storage", cause="; ".join(refused), remedy="put the pools on ext4, xfs or btrfs")

    def supported(self) -> Sequence[type[StorageDriver]]:
        """The drivers that work here, the best first: a blocking call."""
        found: list[type[StorageDriver]] = []
        for kind in sorted(storage_drivers().values(), key=lambda kind: kind.RANK):
            try:
                kind.probe(self._directory)
            except Unsupported:
                continue
            found.append(kind)
        return found

    # Changing

    async def create(self, post: StoragePoolsPost, requestor: EventLifecycleRequestor | None = None) -> None:
        """Create a pool, whole or not at all; without a driver, with the best one for this host.

        Raises Invalid with LXD's texts, Conflict, Unsupported, HostError.
        """
        check_name(post.name)
        kind = storage_driver(post.driver or await self._default_driver(post.name))
        wanted = {key: value for key, value in post.config.items() if value != ""}
        check_config(kind, wanted)
        root = self._directory / post.name
        async with self._lock:
            if any(row.name == post.name for row in self._rows.list()):
                raise Conflict("storage pool", post.name, text="The storage pool already exists")
            config = await asyncio.to_thread(kind.completed, root, wanted)
            await asyncio.to_thread(kind.probe, Path(config["source"]))
            row = PoolRow(name=post.name, driver=kind.name, description=post.description, config=config)
            await self._rows.add(row)
            driver = self._made(row)
            try:
                await asyncio.to_thread(driver.create)
                await self._rows.set_state(row.name, "created")
            except BaseException:
                self._drivers.pop(row.name)
                await asyncio.to_thread(driver.abandon)
                await self._rows.delete(row.name)
                raise
        self._events.happened("storage-pool", "created", post.name, "", requestor, {"driver": kind.name})

    def unadopted(self, post: StoragePoolsPost) -> StorageDriver:
        """A driver that looks into what may be a pool that no row tells of; to be read only. Blocking.

        Raises Invalid with LXD's texts, NotFound when there is nothing.
        """
        check_name(post.name)
        kind, wanted = storage_driver(post.driver), without_empty(post.config)
        check_config(kind, wanted)
        text = f'Failed mounting pool "{post.name}"'
        try:
            driver = kind.found(self._directory / post.name, wanted)
        except Failure as failure:
            raise NotFound("storage pool", post.name, text=f"{text}: {failure.sentence()}") from failure
        place = driver.layout.root
        if not place.is_absolute() or not any((place / folder).is_dir() for folder in ("containers", "custom")):
            remedy = "give the source that it was made with"
            raise NotFound("storage pool", post.name, text=f"{text}: {place} holds no storage pool", remedy=remedy)
        return driver

    async def adopt(self, post: StoragePoolsPost) -> None:
        """Take a pool over that is there already, as it is. Raises as `unadopted`, and Conflict, HostError."""
        found = await asyncio.to_thread(self.unadopted, post)  # its source, too, if it was told by what is in it
        config = dict(found.config)
        row = PoolRow(name=post.name, driver=post.driver, description=post.description, config=config, state="created")
        async with self._lock:
            await asyncio.to_thread(storage_driver(post.driver)(self._directory / post.name, config).create)
            await self._rows.add(row)

    async def forget(self, name: str) -> None:
        """Undo `adopt`: nothing in the pool is touched. Nothing happens when it is forgotten already."""
        async with self._lock:
            await self._rows.delete(name)
            self._drivers.pop(name, None)

    async def replace(self, name: str, put: StoragePoolPut, requestor: EventLifecycleRequestor | None = None) -> None:
        """Replace description and configuration; where the pool is cannot change. Raises Invalid, NotFound."""
        async with self._lock:
            old = self._rows.get(name)
            check_config(storage_driver(old.driver), put.config)
            wanted = without_empty(put.config)
            kept = {key: old.config[key] for key in ("source", "volatile.initial_source") if key in old.config}
            if any(put.config.get(key, value) != value for key, value in kept.items()):
                raise Invalid("storage pool", name, text="Pool source cannot be changed when not in pending state")
            row = PoolRow(name=name, driver=old.driver, description=put.description, config=wanted | kept)
            if name not in self._failures:
                await asyncio.to_thread(self._made(old).reconfigure, row.config)
            await self._rows.replace(row)
            self._made(row).config = row.config
        self._events.happened("storage-pool", "updated", name, "", requestor)

    async def merge(self, name: str, put: StoragePoolPut, requestor: EventLifecycleRequestor | None = None) -> None:
        """PATCH: merge configuration keys over what is there."""
        old = self._rows.get(name)
        merged = StoragePoolPut(description=put.description or old.description, config={**old.config, **put.config})
        await self.replace(name, merged, requestor)

    async def delete(self, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Delete a pool that nobody uses, with its images. Raises Invalid with LXD's text, NotFound, Conflict."""
        async with self._lock:
            row = self._rows.get(name)
            if self._users(name):
                raise Invalid("storage pool", name, text="The storage pool is currently in use")
            driver = self._made(row)
            await asyncio.to_thread(driver.drop_passing)
            await asyncio.to_thread(driver.delete)
            await self._rows.delete(name)
            self._drivers.pop(name, None)
            self._failures.pop(name, None)
        self._events.happened("storage-pool", "deleted", name, "", requestor)

    async def _default_driver(self, pool: str) -> str:
        choice = await asyncio.to_thread(self.choose_default)
        if choice.reason:
            words = (pool, choice.driver, choice.reason)
            log.warning("Storage pool %s gets the driver %s, as a better one cannot be had: %s", *words)
        return choice.driver

    def _made(self, row: PoolRow) -> StorageDriver:
        if row.name not in self._drivers:
            self._drivers[row.name] = storage_driver(row.driver)(self._directory / row.name, row.config)
        return self._drivers[row.name]

    def _view(self, row: PoolRow) -> StoragePool:
        status = row.state.capitalize()
        images: list[str] = []
        if row.name in self._failures:
            status = "Unavailable"
        elif row.state == "created":
            images = [f"/1.0/images/{fingerprint}" for fingerprint in self._made(row).images()]
        used_by = sorted(images + self._users(row.name))
        return msgspec.structs.replace(_described(row), used_by=used_by, status=status)


def _described(row: PoolRow) -> StoragePool:
    return StoragePool(
        name=row.name,
        driver=row.driver,
        description=row.description,
        config=row.config,
        status=row.state.capitalize(),
        locations=["none"],
    )


def check_name(name: str) -> None:
    """Raise Invalid with LXD's texts for what cannot be the name of a pool."""
    if not name:
        raise Invalid("storage pool", text="No name provided")
    if "/" in name:
        raise Invalid("storage pool", name, text="Storage pool names may not contain slashes")
    if any(char.isspace() for char in name):
        raise Invalid("storage pool", name, text="Storage name cannot contain white space")
    if name.startswith((".", "-")) or len(name) > 63 or any(ord(c) < 33 or ord(c) == 127 for c in name):
        raise Invalid("storage pool", name, text=f'Invalid storage pool name "{name}"')


def check_config(kind: type[StorageDriver], config: Mapping[str, str]) -> None:
    """Check each key alone. Raises Invalid with LXD's texts."""
    for name in sorted(config):
        try:
            REGISTRY.check(kind.scope(), name, config[name])
        except Invalid as error:
            known = REGISTRY.lookup(kind.scope(), name) is not None
            text = f'Invalid value for option "{name}": {error.sentence()}' if known else f'Invalid option "{name}"'
            raise Invalid("storage pool", name, text=text, remedy=error.remedy) from error
