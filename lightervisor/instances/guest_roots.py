"""The root directories of instances for those who look into them, whether they run or not.

A running one is reached through its init, so that what is mounted inside is seen. A stopped one is mounted with the id
map that its start would use: should it be started meanwhile, the start finds that mount and keeps it; when the last
user has gone and it is still stopped, the mount is taken away.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from lightervisor.config.names import volume_name
from lightervisor.config.types import is_true
from lightervisor.errors import Conflict, Failure
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.guest_root import GuestRoot, open_running
from lightervisor.instances.nesting import NESTING, show
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import paths
from lightervisor.kernel.threads import in_thread
from lightervisor.operations.locks import Locks, instance_lock

PATIENCE_S = 60.0


class GuestRoots:
    """The roots of all instances."""

    def __init__(self, catalog: Catalog, boot: Boot, volumes: InstanceVolumes, locks: Locks) -> None:
        self._catalog, self._boot, self._volumes, self._locks = catalog, boot, volumes, locks
        self._users: Counter[str] = Counter()
        self._change = asyncio.Condition()

    @asynccontextmanager
    async def opened(self, project: str, name: str) -> AsyncGenerator[GuestRoot, None]:
        """The root, open while the context lasts. Raises NotFound, HostError."""
        async with self.lent(project, name) as root:
            try:
                yield root
            finally:
                os.close(root.descriptor)

    @asynccontextmanager
    async def lent(self, project: str, name: str) -> AsyncGenerator[GuestRoot, None]:
        """The root, there while the context lasts; its descriptor is the caller's to close. Raises NotFound, HostError.

        For a user who stays: an open descriptor keeps a mount from being taken away.
        """
        self._catalog.row(project, name)
        root = self._running(project, name)
        if root is not None:
            yield root
            return
        async with self._stopped(project, name) as root:
            yield root

    async def recover(self) -> None:
        """The daemon starts, nobody looks into anything: take away what one that was killed had mounted for that."""
        roots: dict[tuple[str, str], str] = {}
        for project, name in self._catalog.names(None):
            with suppress(Failure):  # a pool that cannot be used has nothing mounted
                roots[project, name] = self._volumes.pool_of(
                    self._catalog.expand(self._catalog.row(project, name)).devices
                )
        running = {place for place in roots if self._boot.containers.init_pid(volume_name(*place)) is not None}
        await self._volumes.unmount_left(roots, running)

    @asynccontextmanager
    async def left_alone(self, project: str, name: str) -> AsyncGenerator[None, None]:
        """Hold an instance's lock while nobody has its stopped root open, waiting for those who have: they see a mount.

        The lock is not held while it waits. Raises Conflict when they take too long.
        """
        container, patience = volume_name(project, name), asyncio.timeout(PATIENCE_S)
        try:
            async with patience:
                while True:
                    async with self._locks.hold([instance_lock(project, name)]):
                        if not self._users[container]:
                            patience.reschedule(None)
                            yield
                            return
                    async with self._change:
                        await self._change.wait_for(lambda: not self._users[container])
        except TimeoutError as error:
            if not patience.expired():
                raise
            cause = "its files are being read or written by somebody else"
            raise Conflict("instance", name, cause=cause, remedy="try again when that is done") from error

    def _running(self, project: str, name: str) -> GuestRoot | None:
        container = volume_name(project, name)
        pid = self._boot.containers.init_pid(container)
        return None if pid is None else open_running(pid, container)

    @asynccontextmanager
    async def _stopped(self, project: str, name: str) -> AsyncGenerator[GuestRoot, None]:
        container = volume_name(project, name)
        async with self._locks.hold([instance_lock(project, name)]):
            root = self._running(project, name)  # it may have been starting
            if root is None:
                root = await self._mounted(project, name)
                self._users[container] += 1
                is_mounted = True
            else:
                is_mounted = False
        try:
            yield root
        finally:
            if is_mounted:
                self._users[container] -= 1
                async with self._change:
                    self._change.notify_all()
                await self._release(project, name)

    async def _mounted(self, project: str, name: str) -> GuestRoot:
        self._volumes.check_startable(project, name)
        await self._boot.cleaned_up(project, name)
        row = self._catalog.row(project, name)
        expanded = self._catalog.expand(row)
        idmap = self._boot.idmap_of(row, expanded)
        pool = self._volumes.pool_of(expanded.devices)
        mounted = await self._volumes.mount(pool, project, name, idmap)
        root = GuestRoot(paths.open_root(mounted.path), idmap if mounted.idmapped else None)
        if is_true(expanded.config.get(NESTING)):
            beside = await self._volumes.plain_directories(pool, project, name)
            try:
                await in_thread(show, root.descriptor, root.idmap, beside)
            except BaseException:
                os.close(root.descriptor)
                raise
        return root

    async def _release(self, project: str, name: str) -> None:
        container = volume_name(project, name)
        if self._users[container]:
            return
        async with self._locks.hold([instance_lock(project, name)]):
            is_stopped = self._boot.containers.init_pid(container) is None
            if self._users[container] or not is_stopped or (project, name) not in self._catalog.names(project):
                return
            del self._users[container]
            expanded = self._catalog.expand(self._catalog.row(project, name))
            await self._volumes.unmount(self._volumes.pool_of(expanded.devices), project, name)
