"""Storage pools: their rows, their drivers, and who uses them. Source: LXD, /1.0/storage-pools."""

import asyncio
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path

from lightervisor.config.key import REGISTRY, key
from lightervisor.config.types import Text
from lightervisor.db.storage_pools import PoolRow, PoolRows
from lightervisor.errors import Conflict, Invalid, Unsupported
from lightervisor.events.stream import Events
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.resources import ResourcesStoragePool, ResourcesStoragePoolInodes, ResourcesStoragePoolSpace
from lightervisor.model.storage_pool import StoragePool, StoragePoolPut, StoragePoolsPost
from lightervisor.storage import drivers
from lightervisor.storage.driver import DRIVERS, StorageDriver

PREFERRED = ("overlay", "dir")
SCOPE = "pool"
key("source", Text, scope=SCOPE, help="Directory that holds the pool")
key("volatile.initial_source", Text, scope=SCOPE, help="The source that was given at creation")
key("user.*", Text, scope=SCOPE, help="Free for the user")
for _module in pkgutil.iter_modules(drivers.__path__):
    importlib.import_module(f"{drivers.__name__}.{_module.name}")

Users = Callable[[str], list[str]]


class Pools:
    """The pools of this server; `users(pool)` lists the URLs of what is in one."""

    def __init__(self, rows: PoolRows, directory: Path, events: Events, users: Users) -> None:
        self._rows, self._directory, self._events, self._users = rows, directory, events, users
        self._drivers: dict[str, StorageDriver] = {}

    def driver(self, name: str) -> StorageDriver:
        """The driver of a pool. Raises NotFound."""
        if name not in self._drivers:
            row = self._rows.get(name)
            self._drivers[name] = DRIVERS[row.driver](self._directory / name, row.config)
        return self._drivers[name]

    async def start(self) -> None:
        """The daemon starts: make each pool usable and remove what was left unfinished in it."""
        for row in self._rows.list():
            await asyncio.to_thread(self.driver(row.name).create)

    def choose_driver(self) -> tuple[str, str]:
        """The best driver of this host, and why a better one was passed over ("" when none was)."""
        reason = ""
        for name in PREFERRED:
            try:
                DRIVERS[name].probe(self._directory)
            except Unsupported as refusal:
                reason = refusal.sentence()
            else:
                return name, reason
        raise Unsupported("storage", cause=reason)

    def get(self, name: str) -> StoragePool:
        """One pool. Raises NotFound."""
        return self._view(self._rows.get(name))

    def usage(self, name: str) -> ResourcesStoragePool:
        """Space and inodes of a pool. Raises NotFound."""
        usage = self.driver(name).usage()
        return ResourcesStoragePool(
            space=ResourcesStoragePoolSpace(used=usage.used_bytes, total=usage.total_bytes),
            inodes=ResourcesStoragePoolInodes(used=usage.used_inodes, total=usage.total_inodes),
        )

    async def create(self, post: StoragePoolsPost, requestor: EventLifecycleRequestor | None = None) -> None:
        """Create a pool; without a driver, with the best one of this host. Raises Invalid, Conflict, Unsupported."""
        _check_name(post.name)
        if any(row.name == post.name for row in self._rows.list()):
            raise Conflict("storage pool", post.name, text="The storage pool already exists")
        chosen = post.driver or (await asyncio.to_thread(self.choose_driver))[0]
        if chosen not in DRIVERS:
            known = ", ".join(sorted(DRIVERS))
            raise Invalid("storage driver", chosen, cause=f"this server offers {known}")
        _check_config(post.config)
        root = self._directory / post.name
        if post.config.get("source", str(root)) != str(root):
            raise Unsupported(
                "storage pool", post.name, cause="a source of its own is not offered yet", remedy="leave out source="
            )
        await asyncio.to_thread(DRIVERS[chosen].probe, self._directory)
        config = {**post.config, "source": str(root)}
        driver = DRIVERS[chosen](root, config)
        await asyncio.to_thread(driver.create)
        await self._rows.add(PoolRow(name=post.name, driver=chosen, description=post.description, config=config))
        self._publish("created", post.name, requestor)

    async def replace(self, name: str, put: StoragePoolPut, requestor: EventLifecycleRequestor | None = None) -> None:
        """Replace description and config; the source cannot change."""
        old = self._rows.get(name)
        _check_config(put.config)
        if put.config.get("source", old.config["source"]) != old.config["source"]:
            raise Invalid("storage pool", name, text="Pool source cannot be changed when the pool is not pending")
        config = {**put.config, "source": old.config["source"]}
        await self._rows.replace(PoolRow(name=name, driver=old.driver, description=put.description, config=config))
        self._publish("updated", name, requestor)

    async def merge(self, name: str, put: StoragePoolPut, requestor: EventLifecycleRequestor | None = None) -> None:
        """PATCH: merge config keys over what is there."""
        old = self._rows.get(name)
        merged = StoragePoolPut(description=put.description or old.description, config={**old.config, **put.config})
        await self.replace(name, merged, requestor)

    async def delete(self, name: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Delete a pool that nobody uses. Raises Invalid with LXD's text otherwise."""
        self._rows.get(name)
        if self._users(name):
            raise Invalid("storage pool", name, text="The storage pool is currently in use")
        await asyncio.to_thread(self.driver(name).delete)
        await self._rows.delete(name)
        self._drivers.pop(name, None)
        self._publish("deleted", name, requestor)

    def list(self) -> list[StoragePool]:
        """All pools, by name."""
        return [self._view(row) for row in self._rows.list()]

    def _view(self, row: PoolRow) -> StoragePool:
        return StoragePool(
            name=row.name,
            driver=row.driver,
            description=row.description,
            config=row.config,
            used_by=self._users(row.name),
            status="Created",
            locations=["none"],
        )

    def _publish(self, action: str, name: str, requestor: EventLifecycleRequestor | None) -> None:
        self._events.lifecycle(f"storage-pool-{action}", f"/1.0/storage-pools/{name}", requestor=requestor)


def _check_name(name: str) -> None:
    if not name:
        raise Invalid("storage pool", text="No name provided")
    if "/" in name or name.startswith((".", "-")) or any(ord(c) < 33 or ord(c) == 127 for c in name):
        raise Invalid("storage pool", name, text=f'Invalid storage pool name "{name}"')


def _check_config(config: Mapping[str, str]) -> None:
    try:
        REGISTRY.check_all(SCOPE, config)
    except Invalid as error:
        text = error.sentence().replace("Unknown configuration key", "Invalid option for storage pool")
        raise Invalid("storage pool", text=text, remedy=error.remedy) from error
