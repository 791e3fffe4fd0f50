"""The log files of an instance: liblxc's, and what commands printed. Source: LXD, /1.0/instances/<name>/logs."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lightervisor.errors import Invalid, NotFound
from lightervisor.events.stream import Events
from lightervisor.instances.boot import Boot
from lightervisor.instances.catalog import Catalog
from lightervisor.model.event import EventLifecycleRequestor

KEPT = ("lxc.log", "lxc.conf")
KEPT_S = 48 * 3600
RECORDED = ("migration_", "snapshot_", "exec_")


class Logs:
    """The log files of all instances; every function raises NotFound for an unknown instance."""

    def __init__(self, catalog: Catalog, boot: Boot, events: Events) -> None:
        self._catalog, self._boot, self._events = catalog, boot, events

    def list(self, project: str, name: str) -> list[str]:
        """The names of its log files; none before its first start."""
        directory = self._directory(project, name)
        if not directory.is_dir():
            return []
        return sorted(entry.name for entry in directory.iterdir() if _is_log(entry.name))

    def open(self, project: str, name: str, file: str, requestor: EventLifecycleRequestor | None = None) -> int:
        """A descriptor to read a log file, the caller's to close. Raises NotFound, Invalid for what is no log."""
        path = self._path(project, name, file)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound("log", file, text="Not Found") from error
        self._events.happened("instance", "log-retrieved", f"{name}/logs/{file}", project, requestor)
        return descriptor

    def delete(self, project: str, name: str, file: str, requestor: EventLifecycleRequestor | None = None) -> None:
        """Remove what was recorded of a command; liblxc's own logs stay. Raises NotFound, Invalid."""
        path = self._path(project, name, file)
        if file in KEPT:
            raise Invalid("log", file, text="lxc.log and lxc.conf may not be deleted")
        try:
            path.unlink()
        except FileNotFoundError as error:
            raise NotFound("log", file, text="Not Found") from error
        self._events.happened("instance", "log-deleted", f"{name}/logs/{file}", project, requestor)

    async def expire(self, *, now_s: float) -> None:
        """Remove what was recorded and not touched for two days before `now_s` (since the epoch). Source: LXD."""
        directories = [self._boot.log_directory(project, name) for project, name in self._catalog.names(None)]
        await asyncio.to_thread(_expire, directories, now_s - KEPT_S)

    def _directory(self, project: str, name: str) -> Path:
        self._catalog.row(project, name)
        return self._boot.log_directory(project, name)

    def _path(self, project: str, name: str, file: str) -> Path:
        directory = self._directory(project, name)
        if not _is_log(file):
            raise Invalid("log", file, text=f"log file name {file} not valid")
        return directory / file


def _expire(directories: Sequence[Path], before_s: float) -> None:
    for directory in directories:
        for path in [path for prefix in RECORDED for path in directory.glob(f"{prefix}*")]:
            with suppress(FileNotFoundError):
                if path.lstat().st_mtime < before_s:
                    path.unlink()


def _is_log(file: str) -> bool:
    """Whether this is the name of a log; no such name leads elsewhere."""
    return file in KEPT or (file.startswith(RECORDED) and "/" not in file and "\0" not in file)
