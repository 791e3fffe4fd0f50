"""Watching for paths that come and go, also those whose directories are not there yet. Source: inotify(7)."""

import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lightervisor.kernel import syscalls

_CHANGES = syscalls.IN_CREATE | syscalls.IN_DELETE | syscalls.IN_MOVED_FROM | syscalls.IN_MOVED_TO
_MOST_LINKS, _MOST_LOOKS = 40, 16
_ROOM = 1 << 16


class PathWatch:
    """Tells which of some absolute paths may have come or gone; to be read when it is readable.

    Watched is every directory on the way to a path, and on the way to where links lead, as far as it exists.
    """

    def __init__(self) -> None:
        self._descriptor = syscalls.inotify_init()
        self._paths: frozenset[str] = frozenset()
        self._steps: Mapping[str, Mapping[str, set[str]]] = {}
        self._directories: dict[int, set[str]] = {}  # several, where links lead to one

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def close(self) -> None:
        """End all watching."""
        os.close(self._descriptor)

    def follow(self, paths: Iterable[str]) -> None:
        """Watch these paths, and no others any more. Raises OSError when the kernel watches too much already."""
        self._paths = frozenset(paths)
        self._arm()

    def read(self) -> set[str]:
        """The paths that may have come or gone since; look at each."""
        changed: set[str] = set()
        while True:
            try:
                raw = os.read(self._descriptor, _ROOM)
            except BlockingIOError:
                break
            for watch, mask, name in _events(raw):
                if mask & syscalls.IN_Q_OVERFLOW:
                    changed |= self._paths
                for directory in self._directories.get(watch, ()):
                    changed |= self._steps[directory].get(name, set())
        if changed:
            self._arm()
        return changed

    def _arm(self) -> None:
        # A directory can come between the look at it and the watch of the one above it: look until nothing is new.
        for _ in range(_MOST_LOOKS):
            steps = _steps(self._paths)
            known: dict[int, set[str]] = {}
            for directory in steps:
                try:
                    watch = syscalls.inotify_add_watch(self._descriptor, directory, _CHANGES)
                except OSError as error:  # not there, no directory, too long, a circle, somebody else's (FUSE)
                    if error.errno in (errno.ENOSPC, errno.ENOMEM):
                        raise
                    continue
                known.setdefault(watch, set()).add(directory)
            is_settled = known == self._directories
            for watch in self._directories.keys() - known.keys():
                syscalls.inotify_rm_watch(self._descriptor, watch)
            self._steps, self._directories = steps, known
            if is_settled:
                return


def _events(raw: bytes) -> Iterator[tuple[int, int, str]]:
    position = 0
    while position < len(raw):
        watch, mask, _, length = struct.unpack_from("=iIII", raw, position)
        position += 16
        yield watch, mask, os.fsdecode(raw[position : position + length].rstrip(b"\0"))
        position += length


def _steps(paths: Iterable[str]) -> dict[str, dict[str, set[str]]]:
    """By directory and by name in it: the paths that lead through there."""
    found: dict[str, dict[str, set[str]]] = {}
    for path in paths:
        for directory, name in _way(path):
            found.setdefault(directory, {}).setdefault(name, set()).add(path)
    return found


def _way(path: str) -> Iterator[tuple[str, str]]:
    """Each directory on the way along a path, and the name there that leads on, as the kernel follows its links."""
    directory, links = Path("/"), 0
    left = path.split("/")[::-1]
    while left:
        name = left.pop()
        if name in ("", ".."):
            directory = directory.parent if name else directory
            continue
        yield str(directory), name
        try:
            target = str((directory / name).readlink())
        except OSError:  # no link, or not there
            directory /= name
            continue
        links += 1
        if links > _MOST_LINKS:
            return
        left += target.split("/")[::-1]
        directory = Path("/") if target.startswith("/") else directory
