"""Custom volumes made of backups. Source: LXD, POST …/volumes/custom with an archive as its body."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from lightervisor.backups.volume_archive import VolumeArchive
from lightervisor.backups.volume_records import snapshot_rows, volume_row
from lightervisor.config.names import VolumePlace
from lightervisor.errors import NotFound
from lightervisor.images import upload
from lightervisor.images.meter import Limits, Meter
from lightervisor.model.backup_file import BackupConfig
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Run
from lightervisor.storage.volume_acts import VolumeActs, place_of, volume_of
from lightervisor.storage.volumes import Volumes

PROGRESS = "create_custom_volume_from_backup_unpack_progress"


class VolumeRestoring:
    """Takes backups of volumes in; `directory` is where they are received."""

    def __init__(self, acts: VolumeActs, volumes: Volumes, directory: Path) -> None:
        self._acts, self._volumes = acts, volumes
        self._directory, self._limits = directory, Limits()

    async def receive(self, blocks: AsyncIterator[bytes]) -> VolumeArchive:
        """Write what arrives to a file. Raises HostError when the disk is full; nothing is left then."""
        return VolumeArchive((await upload.receive(self._directory, blocks)).path)

    async def restore(
        self,
        pool: str,
        project: str,
        archive: VolumeArchive,
        *,
        name: str = "",
        requestor: EventLifecycleRequestor | None = None,
    ) -> Operation:
        """Check a backup and start making the volume of it; the file goes, whatever happens.

        Raises Invalid, Unsupported, NotFound, Conflict for what can be refused at once; the rest is in the operation.
        """
        try:
            self._check_pool(pool)
            index = await asyncio.to_thread(archive.index)
            config = index.config or BackupConfig()
            row = volume_row(self._volumes, VolumePlace(pool, project, name or index.name), config)
            place, snapshots = place_of(row), snapshot_rows(place_of(row), config)
            self._volumes.check_free(place)
        except BaseException:
            archive.discard()
            raise

        async def work(run: Run) -> None:
            async with self._volumes.bringing(row, snapshots):
                await self._unpack(run, archive, place, config)
            self._acts.publish("created", place, requestor)

        return self._acts.start(
            "Restoring custom volume backup", work, [place], cancellable=True, at_end=archive.discard
        )

    def _check_pool(self, pool: str) -> None:
        try:
            self._acts.pools.driver(pool)
        except NotFound as error:
            text = "Storage pool not found: Storage pool not found"
            raise NotFound("storage pool", pool, text=text, remedy="lxc storage list") from error

    async def _unpack(self, run: Run, archive: VolumeArchive, place: VolumePlace, config: BackupConfig) -> None:
        """The files, in the pool; cancelling ends it at once."""
        loop, stop = asyncio.get_running_loop(), threading.Event()

        def meter(target: Path) -> Meter:
            def show(text: str) -> None:
                loop.call_soon_threadsafe(run.progress, PROGRESS, text)

            return Meter(archive.size, target, show, limits=self._limits, stop=stop)

        driver, volume = self._acts.keeper(place), volume_of(place)
        work = asyncio.ensure_future(asyncio.to_thread(archive.unpack_volume, driver, volume, config, meter))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([work])
            raise
