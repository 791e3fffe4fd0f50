"""Backups of instances: those that this server keeps, and those that go straight to a client.

A kept backup is a file and a row. The file is whole before the row is written and goes before the row does; what is
half made lies in a directory that each start of the daemon empties. Whole files that no row tells of are left alone:
after a loss of the database they are what there is. Source: LXD, /1.0/instances/<name>/backups; texts of LXD 5.0.2.
"""

import contextlib
import functools
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lightervisor.backups.expiry import Ended
from lightervisor.backups.packer import Packer
from lightervisor.config import numbering
from lightervisor.config.compression import Algorithm
from lightervisor.config.names import volume_name
from lightervisor.db.instance_backups import BackupRow, BackupRows, taken
from lightervisor.errors import Invalid
from lightervisor.events.stream import Events
from lightervisor.instances import moment_roots
from lightervisor.instances.catalog import Catalog
from lightervisor.kernel import paths
from lightervisor.kernel.pipes import PipeReader
from lightervisor.kernel.threads import in_thread
from lightervisor.model.backup import InstanceBackup, InstanceBackupsPost
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.model.times import ZERO_TIME, in_utc, now
from lightervisor.operations.operations import Operations, Run

log = logging.getLogger(__name__)
KEY = "backups.compression_algorithm"
UNDO = "drop backup that was being made"
PATTERN = "backup%d"


class Stream(NamedTuple):
    """A backup on its way: the operation that makes it, and a pipe to read it from."""

    operation: Operation
    pipe: PipeReader


class Backups:
    """The backups of all instances. `settings` reads a key of the server."""

    def __init__(
        self,
        rows: BackupRows,
        catalog: Catalog,
        packer: Packer,
        operations: Operations,
        events: Events,
        settings: Callable[[str], str],
    ) -> None:
        self._rows, self._catalog, self._packer, self._roots = rows, catalog, packer, packer.roots
        self._operations, self._events, self._settings = operations, events, settings
        self._directory = packer.directory.parent / "instances"
        self._being_made: set[tuple[str, str, str]] = set()

    async def start(self) -> None:
        """The daemon starts: make the directories, remove what is half made, forget backups whose file is gone."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.remove_tree(self._packer.directory)
        self._packer.directory.mkdir(mode=0o700)
        for row in self._rows.everything():
            if not self._path(row).exists():
                log.warning("backup %s of instance %s has lost its file %s", row.name, row.instance, self._path(row))
                await self._rows.delete(row.project, row.instance, row.name)

    # Reading

    def names(self, project: str, instance: str) -> list[str]:
        """The names of an instance's backups, the oldest first. Raises NotFound."""
        return [one.name for one in self.all_of(project, instance)]

    def all_of(self, project: str, instance: str) -> list[InstanceBackup]:
        """The backups of an instance, the oldest first. Raises NotFound."""
        self._catalog.row(project, instance)
        return [_view(row) for row in self._rows.of(project, instance)]

    def by_instance(self, project: str | None) -> dict[tuple[str, str], list[InstanceBackup]]:
        """The backups of each instance that has any, of one project, or of all with None."""
        found: dict[tuple[str, str], list[InstanceBackup]] = {}
        for row in self._rows.everything(project):
            found.setdefault((row.project, row.instance), []).append(_view(row))
        return found

    def get(self, project: str, instance: str, name: str) -> InstanceBackup:
        """One backup. Raises NotFound."""
        return _view(self._get(project, instance, name))

    def file(self, project: str, instance: str, name: str, requestor: EventLifecycleRequestor | None = None) -> Path:
        """The file of a backup, which somebody fetches. Raises NotFound."""
        row = self._get(project, instance, name)
        self._publish("retrieved", row, requestor)
        return self._path(row)

    def _get(self, project: str, instance: str, name: str) -> BackupRow:
        self._catalog.row(project, instance)
        return self._rows.get(project, instance, name)

    def _made(self, file: str) -> Path:
        """Where a file is written until it is whole."""
        return self._packer.directory / file.rpartition("_")[2]

    def _path(self, row: BackupRow) -> Path:
        return self._directory / row.file

    # Making

    def create(
        self, project: str, instance: str, post: InstanceBackupsPost, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start making a backup that is kept here. Raises NotFound, Invalid, Conflict for a taken name."""
        arguments, algorithm = self._checked(project, instance, post)
        name = post.name or self._next_name(project, instance)
        check_name(name)
        place = (project, instance, name)
        if self._rows.find(*place) is not None or place in self._being_made:
            raise taken(instance, name)
        row = BackupRow(
            project=project,
            instance=instance,
            name=name,
            created_at=now(),
            expires_at=in_utc(post.expires_at) if post.expires_at.year > 1 else ZERO_TIME,
            instance_only=_is_alone(post),
            optimized_storage=post.optimized_storage,
            file=f"{volume_name(project, instance)}_{name}_{secrets.token_hex(16)}",
        )
        self._being_made.add(place)

        async def work(run: Run) -> None:
            try:
                noted = {**arguments, "file": row.file, "backup": row.name}
                await run.step(lambda: self._make(run, row, arguments, algorithm), undo=UNDO, arguments=noted)
            finally:
                self._being_made.discard(place)
            self._publish("created", row, requestor)

        return self._start("Backing up instance", work, row, cancellable=True)

    async def _make(self, run: Run, row: BackupRow, arguments: Mapping[str, str], algorithm: str) -> None:
        made = self._made(row.file)
        alone, optimized = row.instance_only, row.optimized_storage
        await self._packer.into_file(run, arguments, algorithm, instance_only=alone, optimized=optimized, place=made)
        await in_thread(made.rename, self._path(row))
        await self._rows.add(row)

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Remove what there is of a backup whose making did not end; may be called twice."""
        if not any(row.file == arguments["file"] for row in self._rows.everything()):
            for file in (self._made(arguments["file"]), self._directory / arguments["file"]):
                await in_thread(_remove, file)
        else:  # what failed came after all was done: nobody was told of it
            await self._rows.delete(arguments["project"], arguments["name"], arguments["backup"])
            await in_thread(_remove, self._directory / arguments["file"])
        await self._roots.undo(arguments)

    def stream(self, project: str, instance: str, post: InstanceBackupsPost) -> Stream:
        """Start making a backup that is kept nowhere but sent as it is made; whoever reads it sets the pace.

        Raises NotFound, Invalid.
        """
        arguments, algorithm = self._checked(project, instance, post)
        reading, writing = os.pipe2(os.O_CLOEXEC)

        async def work(run: Run) -> None:
            try:
                await run.step(lambda: pack(run), undo=moment_roots.UNDO, arguments=arguments)
            finally:
                os.close(writing)

        async def pack(run: Run) -> None:
            alone, optimized = _is_alone(post), post.optimized_storage
            await self._packer.into_pipe(
                run, arguments, algorithm, instance_only=alone, optimized=optimized, pipe=writing
            )

        row = BackupRow(project=project, instance=instance, name="", created_at=now(), file="")
        return Stream(self._start("Backing up instance", work, row, cancellable=True), PipeReader(reading))

    def _checked(self, project: str, instance: str, post: InstanceBackupsPost) -> tuple[dict[str, str], str]:
        algorithm = post.compression_algorithm or self._settings(KEY)
        Algorithm.check(algorithm)
        return self._roots.arguments(project, instance), algorithm

    def _next_name(self, project: str, instance: str) -> str:
        known = [row.name for row in self._rows.of(project, instance)]
        known += [name for *owner, name in self._being_made if tuple(owner) == (project, instance)]
        return numbering.following(PATTERN, known)

    # Changing

    def rename(
        self, project: str, instance: str, name: str, new: str, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start renaming a backup. Raises NotFound, Invalid for a bad name, Conflict for a taken one."""
        row = self._get(project, instance, name)
        check_name(new)
        if self._rows.find(project, instance, new) is not None:
            raise taken(instance, new)

        async def work(_run: Run) -> None:
            await self._rows.rename(project, instance, name, new)
            renamed = BackupRow(project=project, instance=instance, name=new, created_at=row.created_at, file=row.file)
            self._publish("renamed", renamed, requestor, {"old_name": f"{instance}/{name}"})

        return self._start("Renaming instance backup", work, row)

    def delete(
        self, project: str, instance: str, name: str, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start deleting a backup. Raises NotFound."""
        row = self._get(project, instance, name)

        async def work(_run: Run) -> None:
            await self._remove(row)
            self._publish("deleted", row, requestor)

        return self._start("Removing instance backup", work, row)

    async def _remove(self, row: BackupRow) -> None:
        """The file first: a row without one goes with the daemon's next start."""
        await in_thread(_remove, self._path(row))
        await self._rows.delete(row.project, row.instance, row.name)

    async def forget(self, project: str, instance: str) -> None:
        """An instance is gone: its backups go with it, as LXD's do. Nothing happens when they are gone already."""
        for row in self._rows.of(project, instance):
            await self._remove(row)

    def ended(self, moment: datetime) -> list[Ended]:
        """The backups that have had their time."""
        return [
            Ended(
                f"backup {row.name} of {row.instance}",
                functools.partial(self.delete, row.project, row.instance, row.name),
            )
            for row in self._rows.everything()
            if ZERO_TIME < row.expires_at <= moment
        ]

    def _start(
        self, description: str, work: Callable[[Run], Awaitable[None]], row: BackupRow, *, cancellable: bool = False
    ) -> Operation:
        url = f"/1.0/instances/{row.instance}"
        resources = {"instances": [url], "containers": [f"/1.0/containers/{row.instance}"]}
        if row.name:
            resources["backups"] = [f"/1.0/backups/{row.name}"]  # as LXD has it, where no such thing is
        return self._operations.start(
            description, work, project=row.project, resources=resources, cancellable=cancellable
        )

    def _publish(
        self,
        action: str,
        row: BackupRow,
        requestor: EventLifecycleRequestor | None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        where = f"{row.instance}/backups/{row.name}"
        self._events.happened("instance", f"backup-{action}", where, row.project, requestor, context)


def _view(row: BackupRow) -> InstanceBackup:
    return InstanceBackup(
        name=row.name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        instance_only=row.instance_only,
        container_only=row.instance_only,
        optimized_storage=row.optimized_storage,
    )


def _is_alone(post: InstanceBackupsPost) -> bool:
    return post.instance_only or post.container_only


def check_name(name: str) -> None:
    """Raise Invalid, with LXD's texts, for what cannot be the name of a backup."""
    if "/" in name:
        raise Invalid("backup", name, text="Backup names may not contain slashes")
    if any(char.isspace() or not char.isprintable() for char in name) or len(name.encode()) > 100:
        raise Invalid("backup", name, text=f"Invalid backup name {name!r}", remedy="use letters, digits and dashes")


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
