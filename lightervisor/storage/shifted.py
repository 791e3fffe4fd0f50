"""Volumes whose files have the owners of an id map on disk while they are in use.

That is for where the kernel makes no id-mapped mounts: in a container, as they are the privilege of who mounted the
file system. An id alone does not tell whether it is plain or a map's: with a large map it may be both. So which map the
files are of stands beside them, and before the first owner is changed, what everything is to become: a daemon that is
killed meanwhile carries that out when it looks next.
"""

import os
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

from lightervisor.errors import NotFound
from lightervisor.kernel import files, idmap, owners
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.owners import Key, Owned

MARK = "shifted"
CHANGE = "shifting"
_changing = threading.Lock()


class _Change(Struct, frozen=True):
    """A map in its JSON form, "" for plain owners, and what everything becomes for it."""

    wanted: str
    plan: list[tuple[Key, Owned]]


def is_needed() -> bool:
    """Whether this daemon lives in a container, whose kernel makes no id-mapped mounts for it."""
    return idmap.map_of_process(os.getpid()) is not None


def map_of(directory: Path) -> IdMap | None:
    """The map whose owners the files of a volume have, None when they are plain. Raises NotFound without a volume.

    A change that a killed daemon began is carried out first. Raises OSError.
    """
    with _changing:
        return _settled(directory)


def shift(directory: Path, wanted: IdMap) -> None:
    """Give the files of a volume the owners of a map. Blocking, as long as the tree is big. Raises OSError."""
    _change(directory, wanted)


def make_plain(directory: Path) -> None:
    """Give the files of a volume their plain owners again; nothing happens when they have them. Raises OSError."""
    _change(directory, None)


def _change(directory: Path, wanted: IdMap | None) -> None:
    with _changing:
        present, text = _settled(directory), wanted.to_json() if wanted else ""
        if (present.to_json() if present else "") == text:
            return
        change = _Change(text, [*owners.planned(directory / "rootfs", present, wanted).items()])
        files.write_whole(directory / CHANGE, msgspec.json.encode(change).decode(), 0o600, durable=True)
        _carry_out(directory, change)


def _settled(directory: Path) -> IdMap | None:
    try:
        _carry_out(directory, msgspec.json.decode((directory / CHANGE).read_bytes(), type=_Change))
    except FileNotFoundError as error:
        if not directory.is_dir():
            raise NotFound("storage pool volume", directory.name) from error
    try:
        return idmap.from_json((directory / MARK).read_text())
    except FileNotFoundError:
        return None


def _carry_out(directory: Path, change: _Change) -> None:
    owners.carry_out(directory / "rootfs", dict(change.plan))
    if change.wanted:
        files.write_whole(directory / MARK, change.wanted, 0o600, durable=True)
    else:
        files.discard(directory / MARK)
    files.discard(directory / CHANGE)
