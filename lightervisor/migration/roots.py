"""The files of what is sent: of a snapshot, of a stopped instance, and of a running one as they were at one moment.

What runs goes on running while its files travel: they are those of a snapshot that nobody sees, taken while it was
held still for as short as the pool can, and gone afterwards. LXD freezes it for the whole transfer.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from lightervisor.errors import Failure, NotFound
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.nesting import over
from lightervisor.instances.snapshot_names import HIDDEN
from lightervisor.instances.snapshot_roots import SnapshotRoot, SnapshotRoots
from lightervisor.instances.still import still_of
from lightervisor.instances.still_roots import UNDO as UNDO_MOUNT
from lightervisor.instances.still_roots import StillRoot, StillRoots
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.migration.rsync import SOURCE
from lightervisor.operations.locks import Locks, instance_lock
from lightervisor.operations.operations import Run

UNDO = "drop hidden snapshot of instance that was being sent"
_BESIDE = ("metadata.yaml", "templates")
Tree = Mapping[Path, str]


class SentRoots:
    """Opens what is to be sent; each gives the places of its files below SOURCE, for rsync."""

    def __init__(
        self,
        catalog: Catalog,
        boot: Boot,
        volumes: InstanceVolumes,
        still: StillRoots,
        snapshots: SnapshotRoots,
        locks: Locks,
    ) -> None:
        self._catalog, self._boot, self._volumes = catalog, boot, volumes
        self._still, self._snapshots, self._locks = still, snapshots, locks
        self._let_go: set[str] = set()

    def is_running(self, project: str, name: str) -> bool:
        """Whether an instance runs, or is frozen."""
        return self._boot.containers.init_pid(self._boot.container_name(project, name)) is not None

    def pool_config(self, project: str, name: str) -> Mapping[str, str]:
        """The configuration of an instance's pool. Raises NotFound."""
        devices = self._catalog.expand(self._catalog.row(project, name)).devices
        return self._volumes.driver(self._volumes.pool_of(devices)).config

    @asynccontextmanager
    async def snapshot(self, project: str, instance: str, name: str) -> AsyncGenerator[Tree, None]:
        """A snapshot's. Raises NotFound, HostError."""
        async with self._snapshots.opened(project, instance, name) as root:
            yield _tree(root)

    def instance(
        self, run: Run, project: str, name: str, *, is_held: bool = False
    ) -> AbstractAsyncContextManager[Tree]:
        """An instance's, whether it runs or not. Raises NotFound, HostError.

        Who has its lock, and holds it still, says so.
        """
        if self.is_running(project, name):
            return self._moment(run, project, name, is_held=is_held)
        return self._stopped(run, project, name)

    @asynccontextmanager
    async def _stopped(self, run: Run, project: str, name: str) -> AsyncGenerator[Tree, None]:
        async with AsyncExitStack() as stack:
            opened, arguments = self._still.opened(project, name), {"project": project, "name": name}
            root = await run.step(lambda: stack.enter_async_context(opened), undo=UNDO_MOUNT, arguments=arguments)
            yield _tree(root)

    @asynccontextmanager
    async def _moment(self, run: Run, project: str, name: str, *, is_held: bool) -> AsyncGenerator[Tree, None]:
        place = SnapshotPlace(project, name, f"{HIDDEN}{run.id}{'-held' if is_held else ''}")
        async with self._locks.hold([] if is_held else [instance_lock(project, name)]):
            pool = self._volumes.pool_of(self._catalog.expand(self._catalog.row(project, name)).devices)
            still = None if is_held else still_of(self._boot, self._catalog, project, name)
            arguments = {**place._asdict(), "pool": pool, "held": "yes" if still else ""}
            await run.step(lambda: self._volumes.create_snapshot(pool, place, still), undo=UNDO, arguments=arguments)
            self._let_go.add(place.name)  # whatever holds it still after this is not ours
        try:
            mounted = await self._volumes.mount_snapshot(pool, place)
            try:
                plain = over(mounted.path, await self._volumes.snapshot_directories(pool, place))
                directory = self._volumes.snapshot_directory(pool, place)
                yield _tree(StillRoot(mounted.path, directory, self._catalog.row(project, name), plain))
            finally:
                await self._volumes.unmount_snapshot(pool, place)
        finally:
            await self._volumes.delete_snapshot(pool, place)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Drop the hidden snapshot of a sending that did not end, and let its instance go on; may be called twice."""
        place = SnapshotPlace(arguments["project"], arguments["instance"], arguments["name"])
        if arguments["held"] and place.name not in self._let_go:
            with suppress(Failure):  # it has ended meanwhile
                await self._boot.containers.unfreeze(self._boot.container_name(place.project, place.instance))
        with suppress(NotFound):
            await self._volumes.delete_snapshot(arguments["pool"], place)


def _tree(root: StillRoot | SnapshotRoot) -> Tree:
    tree = {root.path: f"{SOURCE}/rootfs"}
    tree |= {path: f"{SOURCE}/rootfs/{guest}" for guest, path in root.plain.items()}
    return tree | {found: f"{SOURCE}/{name}" for name in _BESIDE if (found := root.directory / name).exists()}
