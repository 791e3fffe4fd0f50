"""Backups of custom volumes: those that this server keeps, and those that go straight to a client.

As those of instances (`backups.py`): a kept backup is a file and a row; the file is whole before the row is written and
goes before the row does. In the archive, in LXD's order: backup/index.yaml, backup/volume-snapshots/NAME/…,
backup/volume/…; owners are as they are on disk, plain. Source: LXD 5.0.2, …/volumes/custom/<name>/backups.
"""

import functools
import logging
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from lightervisor.backups import streamed
from lightervisor.backups.backups import KEY, PATTERN, Stream, check_name
from lightervisor.backups.contents import INDEX, Members
from lightervisor.backups.expiry import Ended
from lightervisor.backups.packer import packed, to_file, to_pipe
from lightervisor.config import numbering
from lightervisor.config.compression import Algorithm
from lightervisor.config.names import VolumePlace
from lightervisor.db.volume_backups import VolumeBackupRow, VolumeBackupRows, taken
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.pipes import PipeReader
from lightervisor.kernel.threads import in_thread, interruptible
from lightervisor.model import yaml_documents
from lightervisor.model.backup import StorageVolumeBackup, StorageVolumeBackupsPost
from lightervisor.model.backup_file import BackupConfig, BackupIndex
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.model.times import ZERO_TIME, in_utc, now
from lightervisor.operations.operations import Operations, Run, Work
from lightervisor.storage import volume_roots
from lightervisor.storage.streams import SubvolumeStreams
from lightervisor.storage.volume_acts import VolumeActs
from lightervisor.storage.volume_roots import Roots

log = logging.getLogger(__name__)
UNDO = "drop backup of volume that was being made"
VOLUME, SNAPSHOTS = "backup/volume", "backup/volume-snapshots"


class VolumeBackups:
    """The backups of all custom volumes; `directory` is $LXD_DIR/backups, `settings` reads a key of the server."""

    def __init__(
        self,
        rows: VolumeBackupRows,
        acts: VolumeActs,
        operations: Operations,
        directory: Path,
        settings: Callable[[str], str],
    ) -> None:
        self._rows, self._acts, self._operations, self._settings = rows, acts, operations, settings
        self._directory, self._making = directory / "custom", directory / ".incoming"
        self._being_made: set[tuple[VolumePlace, str]] = set()

    async def start(self) -> None:
        """The daemon starts, and the directory of what is half made is empty: forget backups whose file is gone."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for row in self._rows.everything():
            if not self._path(row).exists():
                log.warning("backup %s of volume %s has lost its file %s", row.name, row.volume.name, self._path(row))
                await self._rows.delete(row)

    def _path(self, row: VolumeBackupRow) -> Path:
        return self._directory / row.file

    # Reading

    def all_of(self, place: VolumePlace) -> list[StorageVolumeBackup]:
        """The backups of a volume, the oldest first. Raises NotFound."""
        self._acts.row(place)
        return [_view(row) for row in self._rows.of(place)]

    def get(self, place: VolumePlace, name: str) -> StorageVolumeBackup:
        """One backup. Raises NotFound."""
        return _view(self._get(place, name))

    def file(self, place: VolumePlace, name: str, requestor: EventLifecycleRequestor | None = None) -> Path:
        """The file of a backup, which somebody fetches. Raises NotFound."""
        row = self._get(place, name)
        self._acts.publish_below("backup", "retrieved", place, row.name, requestor)
        return self._path(row)

    def _get(self, place: VolumePlace, name: str) -> VolumeBackupRow:
        self._acts.row(place)
        return self._rows.get(place, name)

    # Making

    def create(
        self, place: VolumePlace, post: StorageVolumeBackupsPost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start making a backup that is kept here. Raises NotFound, Invalid, Conflict for a taken name."""
        algorithm = self._algorithm(place, post)
        known = [row.name for row in self._rows.of(place)]
        known += [name for owner, name in self._being_made if owner == place]
        name = post.name or numbering.following(PATTERN, known)
        check_name(name)
        if name in known:
            raise taken(name)
        row = VolumeBackupRow(
            volume=place,
            name=name,
            created_at=now(),
            expires_at=in_utc(post.expires_at) if post.expires_at.year > 1 else ZERO_TIME,
            volume_only=post.volume_only,
            optimized_storage=post.optimized_storage,
            file=secrets.token_hex(16),
        )
        self._being_made.add((place, name))

        async def work(run: Run) -> None:
            try:
                await run.step(lambda: self._make(run, row, algorithm), undo=UNDO, arguments={"file": row.file})
            finally:
                self._being_made.discard((place, name))
            self._acts.publish_below("backup", "created", place, row.name, requestor)

        return self._start("Creating custom volume backup", work, row, cancellable=True)

    async def _make(self, run: Run, row: VolumeBackupRow, algorithm: str) -> None:
        made = self._making / row.file
        write = to_file(made, algorithm)
        await packed(run, self._making, lambda scratch: self._opened(run, row, scratch), write)
        await in_thread(made.rename, self._path(row))
        await self._rows.add(row)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Remove what there is of a backup whose making did not end; may be called twice."""
        for file in (self._making / arguments["file"], self._directory / arguments["file"]):
            await in_thread(file.unlink, True)
        for row in self._rows.everything():
            if row.file == arguments["file"]:  # what failed came after all was done: nobody was told of it
                await self._rows.delete(row)

    def stream(self, place: VolumePlace, post: StorageVolumeBackupsPost) -> Stream:
        """Start making a backup that is kept nowhere but sent as it is made; whoever reads it sets the pace.

        Raises NotFound, Invalid.
        """
        algorithm = self._algorithm(place, post)
        alone, optimized = post.volume_only, post.optimized_storage
        row = VolumeBackupRow(
            volume=place, name="", created_at=now(), volume_only=alone, optimized_storage=optimized, file=""
        )
        reading, writing = os.pipe2(os.O_CLOEXEC)

        async def work(run: Run) -> None:
            try:
                write = to_pipe(writing, algorithm, self._making)
                await packed(run, self._making, lambda scratch: self._opened(run, row, scratch), write)
            finally:
                os.close(writing)

        operation = self._start("Creating custom volume backup", work, row, cancellable=True)
        return Stream(operation, PipeReader(reading))

    def _algorithm(self, place: VolumePlace, post: StorageVolumeBackupsPost) -> str:
        self._acts.row(place)
        algorithm = post.compression_algorithm or self._settings(KEY)
        Algorithm.check(algorithm)
        return algorithm

    @asynccontextmanager
    async def _opened(self, run: Run, backup: VolumeBackupRow, scratch: Path) -> AsyncGenerator[Members, None]:
        """What goes into the archive, as it is at one moment; the volume's lock is held."""
        place, members = backup.volume, list[dict[str, Path]]()
        row = self._acts.row(place)
        kept = [] if backup.volume_only else self._acts.snapshots.of(place)
        told, driver = self._acts.description(row, kept), self._acts.keeper(place)
        streaming = driver if backup.optimized_storage and isinstance(driver, SubvolumeStreams) else None
        index = BackupIndex(
            name=row.name,
            backend=told.pool.driver if told.pool else "",
            pool=row.pool,
            snapshots=[one.name for one in kept],
            optimized=streaming is not None,
            optimized_header=streaming is not None,
            type="custom",
            config=BackupConfig(volume=told.volume, volume_snapshots=told.volume_snapshots),
        )
        described = scratch / "index.yaml"
        described.write_text(yaml_documents.dump(index))
        members.append({INDEX: described})
        async with volume_roots.opened(self._acts, run, place, index.snapshots) as roots:
            if streaming is not None:
                yield [*members, await _streams(streaming, roots, scratch)]
                return
            members += [{f"{SNAPSHOTS}/{name}": root} for name, root in roots.snapshots.items()]
            yield [*members, {VOLUME: roots.volume}]

    # Changing

    def rename(
        self, place: VolumePlace, name: str, new: str, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start renaming a backup. Raises NotFound, Invalid for a bad name, Conflict for a taken one."""
        row = self._get(place, name)
        check_name(new)
        if self._rows.find(place, new) is not None:
            raise taken(new)

        async def work(_run: Run) -> None:
            await self._rows.rename(place, name, new)
            self._acts.publish_below("backup", "renamed", place, new, requestor, {"old_name": name})

        return self._start("Renaming custom volume backup", work, row)

    def delete(self, place: VolumePlace, name: str, requestor: EventLifecycleRequestor | None = None) -> Operation:
        """Start deleting a backup. Raises NotFound."""
        row = self._get(place, name)

        async def work(_run: Run) -> None:
            await self._remove(row)
            self._acts.publish_below("backup", "deleted", place, row.name, requestor)

        return self._start("Deleting custom volume backup", work, row)

    async def _remove(self, row: VolumeBackupRow) -> None:
        """The file first: a row without one goes with the daemon's next start."""
        await in_thread(self._path(row).unlink, True)
        await self._rows.delete(row)

    async def forget(self, place: VolumePlace) -> None:
        """A volume goes, and its backups with it, as LXD's do. Nothing happens when they are gone already."""
        for row in self._rows.of(place):
            await self._remove(row)

    def ended(self, moment: datetime) -> list[Ended]:
        """The backups that have had their time."""
        return [
            Ended(
                f"backup {row.name} of volume {row.volume.name}", functools.partial(self.delete, row.volume, row.name)
            )
            for row in self._rows.everything()
            if ZERO_TIME < row.expires_at <= moment
        ]

    def _start(self, description: str, work: Work, row: VolumeBackupRow, *, cancellable: bool = False) -> Operation:
        resources = {"storage_volumes": [f"/1.0/storage_volumes/{row.volume.name}"]}
        if row.name:
            resources["backups"] = [f"/1.0/backups/{row.name}"]  # as LXD has it, where no such thing is
        return self._acts.start(description, work, [row.volume], resources=resources, cancellable=cancellable)


async def _streams(driver: SubvolumeStreams, roots: Roots, scratch: Path) -> dict[str, Path]:
    trees = {name: root.parent for name, root in {**roots.snapshots, "": roots.volume}.items()}
    watch = Watch()
    write = functools.partial(streamed.written, driver, trees, scratch, watch, form=streamed.VOLUME)
    return await interruptible(watch.cancel, write)


def _view(row: VolumeBackupRow) -> StorageVolumeBackup:
    return StorageVolumeBackup(
        name=row.name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        volume_only=row.volume_only,
        optimized_storage=row.optimized_storage,
    )
