"""What is in a pool: the roots of instances and the unpacked images, as LXD lists them.

Source: LXD, /1.0/storage-pools/<pool>/volumes; texts compared with LXD 5.0.2.
"""

import asyncio
from collections.abc import Iterator

from lightervisor.config.names import volume_name
from lightervisor.db.instances import InstanceRows
from lightervisor.errors import Invalid, NotFound
from lightervisor.model.volume import StorageVolume, StorageVolumeState, StorageVolumeStateUsage
from lightervisor.storage.driver import Volume
from lightervisor.storage.pools import Pools

TYPES = ("container", "custom", "image", "virtual-machine")


class Volumes:
    """The volumes of all pools; every function raises NotFound for an unknown pool."""

    def __init__(self, pools: Pools, instances: InstanceRows) -> None:
        self._pools, self._instances = pools, instances

    def list(self, pool: str, type: str | None = None, project: str = "default") -> list[StorageVolume]:
        """Volumes of a pool by type, then name. Raises Invalid for a type that LXD does not have."""
        if type is not None and type not in TYPES:
            raise Invalid("storage volume", text="Invalid storage volume type name")
        found = [*self._containers(pool, project), *self._images(pool)]
        return sorted((one for one in found if type in (None, one.type)), key=lambda one: (one.type, one.name))

    def get(self, pool: str, type: str, name: str, project: str = "default") -> StorageVolume:
        """One volume. Raises NotFound, Invalid."""
        for one in self.list(pool, type, project):
            if one.name == name:
                return one
        raise NotFound("storage pool volume", name)

    async def delete(self, pool: str, type: str, name: str, project: str = "default") -> None:
        """Remove an unpacked image from a pool. Raises Invalid for the root of an instance, NotFound."""
        found = self.get(pool, type, name, project)
        if found.type != "image":
            text = f'Storage volumes of type "{type}" cannot be deleted with the storage API'
            raise Invalid("storage volume", name, text=text, remedy=f"lxc delete {name}")
        await asyncio.to_thread(self._pools.driver(pool).delete_image, name)

    async def state(self, pool: str, type: str, name: str, project: str = "default") -> StorageVolumeState:
        """How much a volume takes. Raises NotFound, Invalid."""
        found = self.get(pool, type, name, project)
        if found.type != "container":
            return StorageVolumeState()
        volume = Volume("containers", volume_name(project, name))
        used = await asyncio.to_thread(self._pools.driver(pool).size, volume)
        return StorageVolumeState(usage=StorageVolumeStateUsage(used=used))

    def _containers(self, pool: str, project: str) -> Iterator[StorageVolume]:
        driver = self._pools.driver(pool)
        suffix = "" if project == "default" else f"?project={project}"
        for row in self._instances.list(project):
            if driver.has_volume(Volume("containers", volume_name(project, row.name))):
                yield _view("container", row.name, f"/1.0/instances/{row.name}{suffix}", project)

    def _images(self, pool: str) -> Iterator[StorageVolume]:
        for fingerprint in self._pools.driver(pool).images():
            yield _view("image", fingerprint, f"/1.0/images/{fingerprint}", "default")


def _view(type: str, name: str, user: str, project: str) -> StorageVolume:
    return StorageVolume(
        name=name, type=type, used_by=[user], location="none", content_type="filesystem", project=project
    )
