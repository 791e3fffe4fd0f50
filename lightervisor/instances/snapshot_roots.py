"""The root directories of snapshots, for those who read them: publishing, copying, pulling files.

    async with snapshot_roots.opened(project, instance, name) as root:
        root.path       # the files, with their owners as they are on disk; nothing there can be written to
        root.directory  # metadata.yaml and templates/ of that moment
        root.row        # the configuration of that moment

A snapshot is mounted for its first reader and unmounted after its last. While somebody reads it, it is neither renamed
nor deleted, and neither is its instance.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.nesting import over
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.operations.locks import Locks, instance_lock


class SnapshotRoot(NamedTuple):
    """An opened snapshot: its files, the directory beside them, and what is stored about it.

    `plain` are directories of the host that lie over those in the root, by their paths in it.
    """

    path: Path
    directory: Path
    row: SnapshotRow
    plain: Mapping[str, Path]


class SnapshotRoots:
    """The roots of all snapshots."""

    def __init__(self, snapshots: SnapshotRows, catalog: Catalog, volumes: InstanceVolumes, locks: Locks) -> None:
        self._snapshots, self._catalog, self._volumes, self._locks = snapshots, catalog, volumes, locks

    @asynccontextmanager
    async def opened(self, project: str, instance: str, name: str) -> AsyncGenerator[SnapshotRoot, None]:
        """A snapshot, readable while the context lasts; takes the instance's lock for a moment at both ends.

        Raises NotFound, HostError.
        """
        place = SnapshotPlace(project, instance, name)
        async with self._locks.hold([instance_lock(project, instance)]):
            pool = self._volumes.pool_of(self._catalog.expand(self._catalog.row(project, instance)).devices)
            row = self._snapshots.get(*place)
            mounted = await self._volumes.mount_snapshot(pool, place)
        try:
            plain = over(mounted.path, await self._volumes.snapshot_directories(pool, place))
            yield SnapshotRoot(mounted.path, self._volumes.snapshot_directory(pool, place), row, plain)
        finally:
            async with self._locks.hold([instance_lock(project, instance)]):
                await self._volumes.unmount_snapshot(pool, place)
