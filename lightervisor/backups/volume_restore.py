"""Custom volumes made of backups. Source: LXD, POST …/volumes/custom with an archive as its body."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from lightervisor.backups import incoming, streamed, volume_archive
from lightervisor.backups.archive import Part, Upload
from lightervisor.backups.incoming import Target
from lightervisor.backups.volume_records import snapshot_rows, volume_row
from lightervisor.config.names import VolumePlace
from lightervisor.db.storage_volumes import VolumeRow
from lightervisor.errors import NotFound
from lightervisor.images.meter import Limits, Meter
from lightervisor.kernel.copies import Watch
from lightervisor.model.backup_file import BackupConfig, BackupIndex
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Run
from lightervisor.storage.volume_acts import VolumeActs, place_of, volume_of
from lightervisor.storage.volumes import Volumes

PROGRESS = "create_custom_volume_from_backup_unpack_progress"


class Received(NamedTuple):
    """A backup that has come, what it says of the volume, and the row that there is to be."""

    upload: Upload
    told: BackupIndex
    row: VolumeRow


class VolumeRestoring:
    """Takes backups of volumes in; `directory` is where files are made that are needed meanwhile."""

    def __init__(self, acts: VolumeActs, volumes: Volumes, directory: Path) -> None:
        self._acts, self._volumes = acts, volumes
        self._directory, self._limits = directory, Limits()

    async def receive(self, pool: str, project: str, blocks: AsyncIterator[bytes], name: str = "") -> Received:
        """Take a backup in that is to be a volume of this name, or of its own.

        Raises Invalid, Unsupported, NotFound, Conflict for what can be refused at once, HostError when the disk is
        full; nothing is left then. The rest is in the operation.
        """
        self._check_pool(pool)
        found: list[tuple[BackupIndex, VolumeRow]] = []

        def judge(index: BackupIndex) -> Target:
            volume_archive.check(index)
            driver = self._acts.pools.driver(pool)
            streamed.check_format(index, driver, "custom volume")
            config = index.config or BackupConfig()
            row = volume_row(self._volumes, VolumePlace(pool, project, name or index.name), config)
            snapshot_rows(place_of(row), config)
            self._volumes.check_free(place_of(row))
            found.append((index, row))
            return Target(self._acts.keeper(place_of(row)), _parts(index))

        upload = await incoming.receive(self._directory, blocks, judge, self._limits)
        return Received(upload, *found[0])

    def restore(self, received: Received, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Start making a volume of a backup, which goes, whatever happens."""
        upload, index, row = received
        place = place_of(row)

        async def work(run: Run) -> None:
            async with self._volumes.bringing(row, snapshot_rows(place, index.config or BackupConfig())):
                await self._unpack(run, upload, place, index)
            self._acts.publish("created", place, requestor)

        return self._acts.start(
            "Restoring custom volume backup", work, [place], cancellable=True, at_end=upload.discard
        )

    def _check_pool(self, pool: str) -> None:
        try:
            self._acts.pools.driver(pool)
        except NotFound as error:
            text = "Storage pool not found: Storage pool not found"
            raise NotFound("storage pool", pool, text=text, remedy="lxc storage list") from error

    async def _unpack(self, run: Run, upload: Upload, place: VolumePlace, index: BackupIndex) -> None:
        """The files, in the pool; cancelling ends it at once."""
        loop, stop, watch = asyncio.get_running_loop(), threading.Event(), Watch()

        def meter(target: Path) -> Meter:
            def show(text: str) -> None:
                loop.call_soon_threadsafe(run.progress, PROGRESS, text)

            return Meter(upload.size, target, show, limits=self._limits, stop=stop)

        driver, volume, config = self._acts.keeper(place), volume_of(place), index.config or BackupConfig()

        def unpack() -> None:
            with upload.opened(driver, _parts(index), meter) as staged:
                if index.optimized:
                    volume_archive.take(driver, volume, config, staged, watch)
                else:
                    volume_archive.place(driver, volume, config, staged)

        work = asyncio.ensure_future(asyncio.to_thread(unpack))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            watch.cancel()
            await asyncio.wait([work])
            raise


def _parts(index: BackupIndex) -> list[Part]:
    """Streams lie as they are; the owners of files are shifted back as they come."""
    return [Part(None if index.optimized or index.config is None else volume_archive.idmap_of(index.config))]
