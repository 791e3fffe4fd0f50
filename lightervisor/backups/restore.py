"""Instances made of backups. Source: LXD, POST /1.0/instances with an archive as its body."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from lightervisor.backups import archive, incoming, streamed
from lightervisor.backups.adopt import Adoption
from lightervisor.backups.archive import Maps, Part, Upload, check, maps_of, parts_of
from lightervisor.backups.incoming import Target
from lightervisor.backups.records import Place
from lightervisor.config import names
from lightervisor.config.names import volume_name
from lightervisor.errors import Conflict, NotFound
from lightervisor.events.stream import Events
from lightervisor.images.meter import Limits, Meter
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel.copies import Watch
from lightervisor.model.backup_file import BackupConfig, BackupIndex
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Run
from lightervisor.storage.driver import Volume

PROGRESS = "create_instance_from_backup_unpack_progress"


class Received(NamedTuple):
    """A backup that has come, what it says of itself and where it is to be."""

    upload: Upload
    told: BackupIndex
    place: Place


class Restoring:
    """Takes backups in; `directory` is where files are made that are needed meanwhile."""

    def __init__(
        self, adoption: Adoption, volumes: InstanceVolumes, operations: Operations, events: Events, directory: Path
    ) -> None:
        self._adoption, self._volumes, self._operations, self._events = adoption, volumes, operations, events
        self._directory, self._limits = directory, Limits()

    async def receive(self, blocks: AsyncIterator[bytes], wish: Place) -> Received:
        """Take a backup in that is to be what is wished; name and pool may be empty, and are the backup's own then.

        Raises Invalid, Unsupported, NotFound, Conflict for what can be refused at once, HostError when the disk is
        full; nothing is left then. The rest is in the operation.
        """
        found: list[tuple[BackupIndex, Place]] = []

        def judge(index: BackupIndex) -> Target:
            check(index)
            named = {"name": wish.name or index.name, "pool": wish.pool or self._pool(wish.project, index)}
            place = msgspec.structs.replace(wish, **named)
            names.check_instance(place.name)
            _check_pool(self._volumes, place.pool)
            driver = self._volumes.driver(place.pool)
            streamed.check_format(index, driver, "instance")
            config = index.config or BackupConfig()
            self._adoption.checked(config, place)
            self._check_free(place)
            found.append((index, place))
            return Target(driver, [Part(None)] if index.optimized else parts_of(maps_of(config)))

        upload = await incoming.receive(self._directory, blocks, judge, self._limits)
        return Received(upload, *found[0])

    def restore(self, received: Received, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Start making an instance of a backup, which goes, whatever happens."""
        upload, index, place = received

        async def work(run: Run) -> None:
            await self._work(run, upload, index, place)
            context = {"type": "container", "storage-pool": place.pool}
            self._events.happened("instance", "created", place.name, place.project, requestor, context)

        return self._operations.start(
            "Restoring backup",
            work,
            project=place.project,
            resources={"instances": [f"/1.0/instances/{place.name}"], "containers": [f"/1.0/containers/{place.name}"]},
            locks=[instance_lock(place.project, place.name)],
            cancellable=True,
            at_end=upload.discard,
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

    async def _work(self, run: Run, upload: Upload, index: BackupIndex, place: Place) -> None:
        self._check_free(place)
        config = index.config or BackupConfig()
        adopted, maps = self._adoption.checked(config, place), maps_of(config)

        async def make() -> None:
            await self._unpack(run, upload, place, maps, is_optimized=index.optimized)
            await self._volumes.resize(place.project, place.name, adopted.plan.expanded.devices)

        await self._adoption.adopt(run, adopted, make)

    async def _unpack(self, run: Run, upload: Upload, place: Place, maps: Maps, *, is_optimized: bool) -> None:
        """The files, in the pool; cancelling ends it at once."""
        loop, stop, watch = asyncio.get_running_loop(), threading.Event(), Watch()
        driver, volume = self._volumes.driver(place.pool), Volume("containers", volume_name(place.project, place.name))

        def meter(target: Path) -> Meter:
            def show(text: str) -> None:
                loop.call_soon_threadsafe(run.progress, PROGRESS, text)

            return Meter(upload.size, target, show, limits=self._limits, stop=stop)

        def unpack() -> None:
            with upload.opened(driver, [Part(None)] if is_optimized else parts_of(maps), meter) as staged:
                if is_optimized:
                    archive.take(driver, volume, maps, staged, watch)
                else:
                    archive.place(driver, volume, maps, staged, meter)

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
