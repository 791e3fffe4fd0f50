"""The files of what is sent: of a snapshot, of a stopped instance, and of a running one as they were at one moment.

What runs goes on running while its files travel: they are those of a snapshot that nobody sees, taken while it was
held still for as short as the pool can, and gone afterwards. LXD freezes it for the whole transfer.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from lightervisor.instances import moment_roots
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.memory_files import STATE
from lightervisor.instances.moment_roots import MomentRoot, MomentRoots
from lightervisor.instances.snapshot_roots import SnapshotRoot, SnapshotRoots
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.migration.rsync import SOURCE
from lightervisor.operations.operations import Run
from lightervisor.storage.driver import StorageDriver

_BESIDE = ("metadata.yaml", "templates")
Tree = Mapping[Path, str]


class SentRoots:
    """Opens what is to be sent; each gives the places of its files below SOURCE, for rsync."""

    def __init__(
        self,
        catalog: Catalog,
        boot: Boot,
        volumes: InstanceVolumes,
        moments: MomentRoots,
        snapshots: SnapshotRoots,
    ) -> None:
        self._catalog, self._boot, self._volumes = catalog, boot, volumes
        self._moments, self._snapshots = moments, snapshots

    def is_running(self, project: str, name: str) -> bool:
        """Whether an instance runs, or is frozen."""
        return self._boot.containers.init_pid(self._boot.container_name(project, name)) is not None

    def driver(self, project: str, name: str) -> StorageDriver:
        """The driver of an instance's pool. Raises NotFound."""
        devices = self._catalog.expand(self._catalog.row(project, name)).devices
        return self._volumes.driver(self._volumes.pool_of(devices))

    @asynccontextmanager
    async def snapshot(
        self, project: str, instance: str, name: str, *, with_memory: bool = False
    ) -> AsyncGenerator[Tree, None]:
        """A snapshot's. Raises NotFound, HostError."""
        async with self._snapshots.opened(project, instance, name) as root:
            memory = root.directory / STATE
            has_memory = with_memory and root.row.stateful and memory.is_dir()
            yield {**_tree(root), **({memory: f"{SOURCE}/{STATE}"} if has_memory else {})}

    @asynccontextmanager
    async def instance(self, run: Run, project: str, name: str, *, is_held: bool = False) -> AsyncGenerator[Tree, None]:
        """An instance's, whether it runs or not. Raises NotFound, HostError.

        Who has its lock, and holds it still, says so.
        """
        arguments = self._moments.arguments(project, name, is_held=is_held)
        async with AsyncExitStack() as stack:
            opened = self._moments.opened(arguments, is_held=is_held)
            root = await run.step(
                lambda: stack.enter_async_context(opened), undo=moment_roots.UNDO, arguments=arguments
            )
            yield _tree(root)


def directory_of(tree: Tree) -> Path:
    """The directory that holds the root of what is sent, and what lies beside it."""
    return next(path for path, place in tree.items() if place == f"{SOURCE}/rootfs").parent


def _tree(root: MomentRoot | SnapshotRoot) -> Tree:
    tree = {root.path: f"{SOURCE}/rootfs"}
    tree |= {path: f"{SOURCE}/rootfs/{guest}" for guest, path in root.plain.items()}
    return tree | {found: f"{SOURCE}/{name}" for name in _BESIDE if (found := root.directory / name).exists()}
