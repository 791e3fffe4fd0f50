"""Custom volumes as they are in LXD's streams: what is in them is at the top of their subvolume, not below `rootfs`.

Names change within one subvolume, so what it shares with others it shares still. Source: LXD's storage layout of btrfs.
"""

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lightervisor.kernel import btrfs
from lightervisor.model.btrfs_header import BtrfsSubvolume
from lightervisor.storage import subvolumes
from lightervisor.storage.mountpoint import ROOTFS, keep_root_alone

_BELOW = f"/{ROOTFS}"


def lift(volume: Path) -> None:
    """Have only what is below its root at the top of a copy, where no guest can reach that. Raises OSError."""
    keep_root_alone(volume)
    root = volume / secrets.token_hex(16)  # there may be something of any name that is known before
    (volume / ROOTFS).rename(root)
    for entry in list(root.iterdir()):
        _move(entry, volume)
    _dress(volume, root)
    root.rmdir()


def lower(volume: Path) -> None:
    """Have below the root of what has come, where no guest can reach it, what is at its top. Raises OSError."""
    root = volume / secrets.token_hex(16)
    entries = list(volume.iterdir())
    root.mkdir(0o700)
    for entry in entries:
        _move(entry, root)
    _dress(root, volume)
    for name in os.listxattr(volume):
        os.removexattr(volume, name)
    root.rename(volume / ROOTFS)


def lifted(parts: Sequence[BtrfsSubvolume]) -> list[BtrfsSubvolume]:
    """The subvolumes of a volume as they are called once it is lifted."""
    return [
        msgspec.structs.replace(part, path=part.path.removeprefix(_BELOW))
        for part in parts
        if part.path == "/" or part.path.startswith(f"{_BELOW}/")
    ]


def _move(entry: Path, place: Path) -> None:
    """A subvolume that nobody can write to could not be moved."""
    is_closed = False
    if not entry.is_symlink() and btrfs.is_subvolume(entry):
        with btrfs.opened(entry) as opened:
            is_closed = btrfs.is_read_only(opened)
    if is_closed:
        subvolumes.set_read_only(entry, False)
    entry.rename(place / entry.name)
    if is_closed:
        subvolumes.set_read_only(place / entry.name, True)


def _dress(directory: Path, like: Path) -> None:
    found = like.stat()
    os.chown(directory, found.st_uid, found.st_gid)
    shutil.copystat(like, directory)
