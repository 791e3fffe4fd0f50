"""The files of an instance while they arrive: a place for rsync, then the volume.

rsync writes to a directory that has nothing but what another server may say: `rootfs`, which is the volume's own root,
`metadata.yaml` and `templates`. Whatever else was sent (descriptions of volumes, links in the place of directories)
stays there and goes with it.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from lightervisor.instances.births import Plan
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.kernel import owners, paths
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.threads import in_thread
from lightervisor.migration.frames import RsyncFeatures
from lightervisor.migration.rsync import TARGET, Rsync, receiving
from lightervisor.storage.layout import BESIDE, PoolLayout


class Arrival:
    """The volume of one instance. `idmap` is that of the owners that are sent, None when they are plain."""

    def __init__(self, volumes: InstanceVolumes, plan: Plan, features: RsyncFeatures, idmap: IdMap | None) -> None:
        self._volumes, self._features, self._idmap = volumes, features, idmap
        self._pool, self._place = plan.pool, (plan.row.project, plan.row.name)
        self._beside = Path()

    @property
    def _layout(self) -> PoolLayout:
        return self._volumes.driver(self._pool).layout

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None, None]:
        """Make the place, and take it away again. What a killed daemon leaves goes when the pool starts."""
        self._beside = await in_thread(self._layout.trash.new)
        try:
            yield
        finally:
            await in_thread(self._layout.trash.remove, self._beside)

    @asynccontextmanager
    async def filling(self) -> AsyncGenerator[Rsync, None]:
        """Run rsync on the volume, once. Raises HostError."""
        mounted = await self._volumes.mount(self._pool, *self._place, None)
        (self._beside / "rootfs").mkdir(exist_ok=True)
        async with receiving({self._beside: TARGET, mounted.path: f"{TARGET}/rootfs"}, self._features) as rsync:
            yield rsync

    async def settle(self) -> None:
        """All has come that belongs together: give it its plain owners, and the volume what lies beside its root."""
        if self._idmap is not None:
            mounted = await self._volumes.mount(self._pool, *self._place, None)
            await in_thread(owners.make_plain, mounted.path, self._idmap)
        await in_thread(self._take_beside)
        await self._volumes.unmount(self._pool, *self._place)

    def _take_beside(self) -> None:
        directory = self._volumes.directory(self._pool, *self._place)
        for name in BESIDE:
            paths.remove_tree(directory / name)
        self._layout.copy_beside(self._beside, directory)

    async def keep(self, snapshot: str) -> None:
        """What the volume is now is a snapshot."""
        await self._volumes.create_snapshot(self._pool, SnapshotPlace(*self._place, snapshot), None)
