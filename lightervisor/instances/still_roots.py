"""The root directories of stopped instances with their owners as they are on disk, for those who copy all of it.

    async with still_roots.opened(project, name) as root:
        root.path       # the files
        root.directory  # metadata.yaml and templates/
        root.row        # the configuration

Meanwhile it is neither started, renamed nor deleted, and who asks for that is told so; others may read it, too.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from lightervisor.config.names import volume_name
from lightervisor.config.types import is_true
from lightervisor.errors import Failure, NotFound
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.guest_roots import GuestRoots
from lightervisor.instances.nesting import NESTING, over
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel.threads import finished
from lightervisor.operations.locks import Locks, instance_lock


class Described(Protocol):
    """What is stored about an instance or a snapshot, as far as its files' readers need it."""

    @property
    def architecture(self) -> str:
        """The kernel's name."""
        ...

    @property
    def config(self) -> Mapping[str, str]:
        """Its own keys."""
        ...


class StillRoot(NamedTuple):
    """Files that do not change, the directory beside them, and what is stored about them.

    `plain` are directories of the host that lie over those in the root, by their paths in it.
    """

    path: Path
    directory: Path
    row: Described
    plain: Mapping[str, Path]


class Runs(Failure):
    """The instance runs, so that its files change."""


UNDO = "unmount root that was being read"
BACKUP = "backup"


class StillRoots:
    """The roots of all stopped instances."""

    def __init__(
        self, catalog: Catalog, boot: Boot, volumes: InstanceVolumes, guest_roots: GuestRoots, locks: Locks
    ) -> None:
        self._catalog, self._boot, self._volumes, self._guest_roots = catalog, boot, volumes, guest_roots
        self._locks, self._readers = locks, Counter[tuple[str, str]]()

    @asynccontextmanager
    async def opened(self, project: str, name: str) -> AsyncGenerator[StillRoot, None]:
        """The root, readable while the context lasts.

        Waits for those who read or write single files of it. Raises NotFound, Failure with LXD's text for an instance
        that runs, Conflict, HostError.
        """
        with self._volumes.reading_in_place(project, name, BACKUP):
            root = await self._mounted(project, name)
            try:
                yield root
            finally:
                await finished(self._left(project, name))

    async def _mounted(self, project: str, name: str) -> StillRoot:
        async with self._guest_roots.left_alone(project, name):
            row = self._catalog.row(project, name)
            if self._boot.containers.init_pid(volume_name(project, name)) is not None:
                text = "Cannot export a running instance as an image"
                raise Runs("instance", name, text=text, remedy=f"stop it, or take a snapshot: lxc snapshot {name}")
            await self._boot.cleaned_up(project, name)
            pool = self._volumes.pool_of(self._catalog.expand(row).devices)
            mounted = await self._volumes.mount(pool, project, name, None)
            self._readers[project, name] += 1
            try:
                nests = is_true(self._catalog.expand(row).config.get(NESTING))
                beside = await self._volumes.plain_directories(pool, project, name) if nests else []
            except BaseException:
                await finished(self._let_go(project, name))
                raise
            return StillRoot(
                mounted.path, self._volumes.directory(pool, project, name), row, over(mounted.path, beside)
            )

    async def _left(self, project: str, name: str) -> None:
        async with self._locks.hold([instance_lock(project, name)]):
            await self._let_go(project, name)

    async def _let_go(self, project: str, name: str) -> None:
        """One reader has done; with the last the mount goes."""
        self._readers[project, name] -= 1
        if not self._readers[project, name]:
            del self._readers[project, name]
            await self._unmount(project, name)

    async def _unmount(self, project: str, name: str) -> None:
        with suppress(NotFound):
            row = self._catalog.row(project, name)
            if self._boot.containers.init_pid(volume_name(project, name)) is None:
                pool = self._volumes.pool_of(self._catalog.expand(row).devices)
                await self._volumes.unmount(pool, project, name)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Take away the mount that an interrupted reader left; nothing happens when the instance runs or is gone."""
        project, name = arguments["project"], arguments["name"]
        async with self._guest_roots.left_alone(project, name):
            if (project, name) not in self._readers:
                await self._unmount(project, name)
