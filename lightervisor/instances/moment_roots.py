"""The root of an instance at one moment, whether it runs or not, for those who read all of it: backups.

    async with moment_roots.opened(moment_roots.arguments(project, name)) as root:
        root.path, root.directory, root.row, root.plain    # as of `still_roots`

A stopped instance stays stopped meanwhile. Of a running one there is a snapshot for as long, which nobody else sees.
"""

import secrets
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Failure, NotFound
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.nesting import over
from lightervisor.instances.snapshot_names import HIDDEN
from lightervisor.instances.still import held_still, let_go
from lightervisor.instances.still_roots import Runs, StillRoot, StillRoots
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.operations.locks import Locks, instance_lock

UNDO = "end reading of instance"


class MomentRoot(NamedTuple):
    """Files that do not change, the directory beside them, what is stored about the instance, and its pool.

    `plain` are directories of the host that lie over those in the root, by their paths in it.
    """

    path: Path
    directory: Path
    row: InstanceRow
    plain: Mapping[str, Path]
    pool: str


class MomentRoots:
    """The roots of all instances."""

    def __init__(self, catalog: Catalog, boot: Boot, volumes: InstanceVolumes, still: StillRoots, locks: Locks) -> None:
        self._catalog, self._boot, self._volumes = catalog, boot, volumes
        self._still, self._locks = still, locks
        self._process, self._held = secrets.token_hex(8), set[str]()

    def arguments(self, project: str, name: str, *, is_held: bool = False) -> dict[str, str]:
        """What one reading is about, for `opened` and for the journal; as there. Raises NotFound."""
        pool = self._volumes.pool_of(self._catalog.expand(self._catalog.row(project, name)).devices)
        held = "yes" if not is_held and self._catalog.status(project, name) == "Running" else ""
        return {
            "project": project, "name": name, "pool": pool, "moment": f"{HIDDEN}{secrets.token_hex(4)}", "held": held,
            "process": self._process,
        }  # fmt: skip

    @asynccontextmanager
    async def opened(self, arguments: Mapping[str, str], *, is_held: bool = False) -> AsyncGenerator[MomentRoot, None]:
        """The root, readable while the context lasts. Raises NotFound, HostError.

        Who has the lock of an instance that runs, and holds it still, says so.
        """
        async with AsyncExitStack() as stack:
            root: MomentRoot | None = None
            while root is None:  # it may be started or stopped just now
                if self._pid(arguments) is None:
                    with suppress(Runs):
                        root = await self._at_rest(arguments, stack)
                else:
                    root = await stack.enter_async_context(self._while_it_runs(arguments, is_held=is_held))
            yield root

    def _pid(self, arguments: Mapping[str, str]) -> int | None:
        name = self._boot.container_name(arguments["project"], arguments["name"])
        return self._boot.containers.init_pid(name)

    async def _at_rest(self, arguments: Mapping[str, str], stack: AsyncExitStack) -> MomentRoot:
        project, name = arguments["project"], arguments["name"]
        found: StillRoot = await stack.enter_async_context(self._still.opened(project, name))
        row = self._catalog.row(project, name)
        return MomentRoot(found.path, found.directory, row, found.plain, arguments["pool"])

    @asynccontextmanager
    async def _while_it_runs(
        self, arguments: Mapping[str, str], *, is_held: bool
    ) -> AsyncGenerator[MomentRoot | None, None]:
        project, name, pool, moment = (arguments[key] for key in ("project", "name", "pool", "moment"))
        place, locks = SnapshotPlace(project, name, moment), [] if is_held else [instance_lock(project, name)]
        async with self._locks.hold(locks):
            row, pid = self._catalog.row(project, name), self._pid(arguments)
            if pid is None:
                yield None
                return
            container = self._boot.container_name(project, name)
            is_still = is_held or self._catalog.status(project, name) == "Frozen"
            still = None if is_still else lambda: self._holding(moment, pid, container)
            await self._volumes.create_snapshot(pool, place, still)
            mounted = await self._volumes.mount_snapshot(pool, place)
        try:
            plain = over(mounted.path, await self._volumes.snapshot_directories(pool, place))
            yield MomentRoot(mounted.path, self._volumes.snapshot_directory(pool, place), row, plain, pool)
        finally:
            async with self._locks.hold(locks):
                await self._volumes.unmount_snapshot(pool, place)
                await self._volumes.delete_snapshot(pool, place)

    @contextmanager
    def _holding(self, moment: str, pid: int, container: str) -> Generator[None, None, None]:
        self._held.add(moment)
        with held_still(pid, container):
            yield
        self._held.discard(moment)

    def _is_held(self, arguments: Mapping[str, str]) -> bool:
        """Whether it may be this reading that still holds the instance still, and not somebody who paused it."""
        if not arguments["held"]:
            return False
        project, name, pool, moment = (arguments[key] for key in ("project", "name", "pool", "moment"))
        if arguments.get("process") == self._process:
            return moment in self._held
        # Of a daemon that died: a snapshot gets its place when its instance has been let go.
        return not self._volumes.has_snapshot(pool, SnapshotPlace(project, name, moment))

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Take away what an interrupted reading left, and let the instance go on; may be called twice."""
        project, name = arguments["project"], arguments["name"]
        place = SnapshotPlace(project, name, arguments["moment"])
        if self._is_held(arguments) and self._catalog.status(project, name) == "Frozen":
            with suppress(Failure):  # it has ended meanwhile
                await let_go(self._boot, self._catalog, project, name)
        self._held.discard(arguments["moment"])
        with suppress(NotFound):
            await self._volumes.delete_snapshot(arguments["pool"], place)
        await self._still.undo(arguments)
