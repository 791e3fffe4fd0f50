"""Where an instance lives on disk: its pool, its volume, its description for `lxd recover`."""

from pathlib import Path

import msgspec
import yaml

from lightervisor.config.merge import Devices, root_device
from lightervisor.config.names import volume_name
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Conflict, Invalid
from lightervisor.kernel import files
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.threads import in_thread
from lightervisor.storage.driver import MountedRoot, PlainDirectories, PlainDirectory, StorageDriver, Volume
from lightervisor.storage.pools import Pools


class InstanceVolumes:
    """The volumes of instances, over whichever pool each is in."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def pool_of(self, devices: Devices) -> str:
        """The pool of the root disk. Raises Invalid without a root disk, NotFound for an unknown pool."""
        root = root_device(devices)
        if root is None:
            raise Invalid("instance", text="No root device could be found")
        pool = root[1]["pool"]
        self._pools.driver(pool)
        return pool

    def driver(self, pool: str) -> StorageDriver:
        """The driver of a pool. Raises NotFound."""
        return self._pools.driver(pool)

    async def create(self, pool: str, project: str, name: str, image: str | None) -> None:
        """Make the volume, from an unpacked image or empty. Raises Conflict when the pool has one that nobody knows."""
        driver, volume = self._pools.driver(pool), _volume(project, name)
        if driver.has_volume(volume):
            cause = f"storage pool {pool!r} holds a volume of this name that belongs to no instance"
            raise Conflict("instance", name, cause=cause, remedy=f"move {driver.volume_path(volume)} out of the pool")
        await in_thread(driver.create_volume, volume, image)

    async def delete(self, pool: str, project: str, name: str) -> None:
        """Unmount and remove the volume; nothing happens when it is gone."""
        driver = self._pools.driver(pool)

        def remove() -> None:
            driver.unmount(_volume(project, name))
            driver.delete_volume(_volume(project, name))

        await in_thread(remove)

    async def rename(self, pool: str, project: str, name: str, new_name: str) -> None:
        """Give the volume another name."""
        driver = self._pools.driver(pool)

        def move() -> None:
            driver.unmount(_volume(project, name))
            driver.rename_volume(_volume(project, name), _volume(project, new_name))

        await in_thread(move)

    async def mount(self, pool: str, project: str, name: str, idmap: IdMap | None) -> MountedRoot:
        """Mount the root file system for an id map."""
        return await in_thread(self._pools.driver(pool).mount, _volume(project, name), idmap)

    async def unmount(self, pool: str, project: str, name: str) -> None:
        """Unmount the root file system; nothing happens when it is not mounted."""
        await in_thread(self._pools.driver(pool).unmount, _volume(project, name))

    def directory(self, pool: str, project: str, name: str) -> Path:
        """The volume's directory, which holds metadata.yaml, templates and backup.yaml."""
        return self._pools.driver(pool).volume_path(_volume(project, name))

    async def plain_directories(self, pool: str, project: str, name: str) -> list[PlainDirectory]:
        """What the pool keeps beside the root file system for an instance that nests others."""
        driver = self._pools.driver(pool)
        if not isinstance(driver, PlainDirectories):
            return []
        return await in_thread(driver.plain_directories, _volume(project, name))

    def exists(self, pool: str, project: str, name: str) -> bool:
        """Whether the volume is there."""
        return self.directory(pool, project, name).is_dir()

    async def write_description(self, row: InstanceRow, pool: str) -> None:
        """Write backup.yaml beside the root file system, so that the pool alone tells of the instance."""
        target = self.directory(pool, row.project, row.name) / "backup.yaml"
        text = yaml.safe_dump({"container": msgspec.to_builtins(row), "pool": {"name": pool}}, sort_keys=False)
        await in_thread(files.write_whole, target, text, 0o400)


def _volume(project: str, name: str) -> Volume:
    return Volume(kind="containers", name=volume_name(project, name))
