"""Volumes as subvolumes: copied and removed together with those that their guests have nested in them.

A snapshot of the kernel's has an empty directory wherever another subvolume is nested; what is in that one comes there
by a snapshot of its own. Source: btrfs-subvolume(8).
"""

import errno
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from lightervisor.kernel import btrfs, btrfs_quotas, paths
from lightervisor.kernel.btrfs import Nested

_GONE = (errno.ENOENT, errno.ESTALE)


def has_nested(directory: Path) -> bool:
    """Whether others are nested in a subvolume. Raises OSError."""
    with btrfs.opened(directory) as opened:
        return bool(btrfs.children(opened))


def copy(source: Path, target: Path) -> None:
    """Make a subvolume, where no guest can reach, of what another holds, all nested ones too. Raises OSError.

    Nested ones that cannot be written to stay so; the copy itself can be.
    """
    with btrfs.opened(source) as opened:
        nested = btrfs.nested(opened)
        btrfs.snapshot(opened, target)
        locked = [one.path for one in nested if _copy_nested(opened, one, target)]
    for path in reversed(locked):
        _lock(target, path)


def _copy_nested(anywhere: int, one: Nested, target: Path) -> bool:
    """Fill the empty directory of a nested subvolume; whether nobody can write to that."""
    try:
        source = btrfs.open_number(anywhere, one.number)
    except OSError as error:
        if error.errno in _GONE:  # its guest has just taken it away
            return False
        raise
    try:
        with paths.parent(target, os.fsdecode(one.path)) as (place, name):
            os.rmdir(name, dir_fd=place)
            parent = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
            try:
                btrfs.snapshot_in(source, parent, os.fsencode(name))
            finally:
                os.close(parent)
        return btrfs.is_read_only(source)
    except FileNotFoundError:  # made or moved since the copy
        return False
    finally:
        os.close(source)


def _lock(target: Path, path: bytes) -> None:
    descriptor = paths.open_beneath(target, os.fsdecode(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        btrfs.set_read_only(descriptor, True)
    finally:
        os.close(descriptor)


def set_read_only(directory: Path, wanted: bool) -> None:
    """Let nobody write to a subvolume, or let them again; nested ones stay as they are. Raises OSError."""
    with btrfs.opened(directory) as opened:
        btrfs.set_read_only(opened, wanted)


@contextmanager
def writable(directory: Path) -> Generator[None, None, None]:
    """While this lasts a closed subvolume can be written to. Raises OSError."""
    set_read_only(directory, False)
    try:
        yield
    finally:
        set_read_only(directory, True)


def remove(place: Path) -> None:
    """Remove a subvolume, or a directory with subvolumes in it; nothing happens when it is gone. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if not btrfs.is_subvolume(place):
            for entry in place.iterdir():
                if btrfs.is_subvolume(entry):
                    _destroy(entry)
        else:
            _destroy(place)
    paths.remove_tree(place)


def destroy_unless_nested(subvolume: Path) -> bool:
    """Destroy a subvolume at once; false when others are nested in it. Raises OSError."""
    with btrfs.opened(subvolume) as opened:
        number = btrfs.number_of(opened)
    try:
        btrfs.destroy(subvolume)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    with btrfs.opened(subvolume.parent) as parent:
        _count_no_more(parent, [number])
    return True


def _count_no_more(anywhere: int, numbers: Iterable[int]) -> None:
    if btrfs_quotas.are_enabled(anywhere):
        for number in numbers:
            btrfs_quotas.forget(anywhere, number)


def _destroy(subvolume: Path) -> None:
    if not destroy_unless_nested(subvolume):
        with btrfs.opened(subvolume) as opened:
            btrfs.set_read_only(opened, False)
            nested = btrfs.children(opened)
            for one in nested:  # out of what is closed nothing can be taken
                _unlock(opened, one.number)
            for one in reversed(nested):
                btrfs.destroy_child(opened, one)
            _count_no_more(opened, [one.number for one in nested])
        destroy_unless_nested(subvolume)


def _unlock(anywhere: int, number: int) -> None:
    descriptor = btrfs.open_number(anywhere, number)
    try:
        btrfs.set_read_only(descriptor, False)
    finally:
        os.close(descriptor)
