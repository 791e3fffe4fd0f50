"""Instances made of backups. Source: LXD, POST /1.0/instances with an archive as its body."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path

from lightervisor.backups.adopt import Adoption
from lightervisor.backups.archive import Archive, Maps, maps_of
from lightervisor.backups.records import Place
from lightervisor.config import names
from lightervisor.config.names import volume_name
from lightervisor.errors import Conflict, Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.images import upload
from lightervisor.images.meter import Limits, Meter
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel.copies import Watch
from lightervisor.model.backup_file import BackupConfig, BackupIndex
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run
from lightervisor.storage.driver import StorageDriver, Volume
from lightervisor.storage.streams import SubvolumeStreams

PROGRESS = "create_instance_from_backup_unpack_progress"
Devices = Mapping[str, Mapping[str, str]]


class Restoring:
    """Takes backups in; `directory` is where they are received."""

    def __init__(
        self, adoption: Adoption, volumes: InstanceVolumes, operations: Operations, events: Events, directory: Path
    ) -> None:
        self._adoption, self._volumes, self._operations, self._events = adoption, volumes, operations, events
        self._directory, self._limits = directory, Limits()

    async def receive(self, blocks: AsyncIterator[bytes]) -> Archive:
        """Write what arrives to a file. Raises HostError when the disk is full; nothing is left then."""
        return Archive((await upload.receive(self._directory, blocks)).path)

    async def restore(
        self,
        project: str,
        archive: Archive,
        *,
        name: str = "",
        pool: str = "",
        devices: Devices | None = None,
        requestor: EventLifecycleRequestor | None = None,
    ) -> Operation:
        """Check a backup and start making the instance of it; the file goes, whatever happens.

        Raises Invalid, Unsupported, NotFound, Conflict for what can be refused at once; the rest is in the operation.
        """
        try:
            index = await asyncio.to_thread(archive.index)
            place = Place(
                project=project, name=name or index.name, pool=pool or self._pool(project, index), devices=devices or {}
            )
            names.check_instance(place.name)
            _check_pool(self._volumes, place.pool)
            _check_format(index, self._volumes.driver(place.pool))
            config = index.config or BackupConfig()
            self._adoption.checked(config, place)
            self._check_free(place)
        except BaseException:
            archive.discard()
            raise

        async def work(run: Run) -> None:
            await self._work(run, archive, index, place)
            url, context = f"/1.0/instances/{place.name}", {"type": "container", "storage-pool": place.pool}
            self._events.lifecycle("instance-created", url, project=project, context=context, requestor=requestor)

        return self._operations.start(
            "Restoring backup",
            work,
            project=project,
            resources={"instances": [f"/1.0/instances/{place.name}"], "containers": [f"/1.0/containers/{place.name}"]},
            locks=[instance_lock(project, place.name)],
            cancellable=True,
            at_end=archive.discard,
        )

    def _pool(self, project: str, index: BackupIndex) -> str:
        """The pool that it was in, or, as LXD has it, that of the default profile where there is none of this name."""
        with suppress(NotFound):
            self._volumes.driver(index.pool)
            return index.pool
        return self._adoption.usual_pool(project) or index.pool

    def _check_free(self, place: Place) -> None:
        if self._adoption.has(place.project, place.name):
            text = "Create instance from backup: Cannot restore volume, already exists on target"
            raise Conflict("instance", place.name, text=text, remedy="give another name: lxc import <file> <name>")
        self._volumes.check_new(place.pool, place.project, place.name)

    async def _work(self, run: Run, archive: Archive, index: BackupIndex, place: Place) -> None:
        self._check_free(place)
        config = index.config or BackupConfig()
        adopted, maps = self._adoption.checked(config, place), maps_of(config)

        async def make() -> None:
            await self._unpack(run, archive, place, maps, is_optimized=index.optimized)
            await self._volumes.resize(place.project, place.name, adopted.plan.expanded.devices)

        await self._adoption.adopt(run, adopted, make)

    async def _unpack(self, run: Run, archive: Archive, place: Place, maps: Maps, *, is_optimized: bool) -> None:
        """The files, in the pool; cancelling ends it at once."""
        loop, stop, watch = asyncio.get_running_loop(), threading.Event(), Watch()
        driver, volume = self._volumes.driver(place.pool), Volume("containers", volume_name(place.project, place.name))

        def meter(target: Path) -> Meter:
            def show(text: str) -> None:
                loop.call_soon_threadsafe(run.progress, PROGRESS, text)

            return Meter(archive.size, target, show, limits=self._limits, stop=stop)

        def unpack() -> None:
            if is_optimized:
                archive.take(driver, volume, maps, meter, watch)
            else:
                archive.unpack(driver, volume, maps, meter)

        work = asyncio.ensure_future(asyncio.to_thread(unpack))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            watch.cancel()
            await asyncio.wait([work])
            raise


def _check_pool(volumes: InstanceVolumes, pool: str) -> None:
    try:
        volumes.driver(pool)
    except NotFound as error:
        text, remedy = (
            "Storage pool not found: Storage pool not found",
            f"there is no {pool!r}: choose one with --storage",
        )
        raise NotFound("storage pool", pool, text=text, remedy=remedy) from error


def _check_format(index: BackupIndex, driver: StorageDriver) -> None:
    if index.optimized and not isinstance(driver, SubvolumeStreams):
        names = f'Optimized backup storage driver "{index.backend}" differs from the target storage pool driver'
        text = f'Create instance from backup: {names} "{driver.name}"'
        remedy = f"choose a pool of {index.backend} (--storage), or export it again without --optimized-storage"
        raise Invalid("backup", index.name, text=text, remedy=remedy)
