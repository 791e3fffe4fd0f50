"""A volume's rootfs as a mount point: mounted once for an id map, mounted again for another one.

For which map it is mounted is noted in the volume (a digest of fixed size, overwritten in place, so that a full disk
does not keep an instance from starting). Only root and the map's root group can walk into the volume's directory.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from lightervisor.kernel import mounts, paths, syscalls
from lightervisor.kernel.idmap import IdMap

MARK = "mounted"
ROOTFS = "rootfs"


def keep_root_alone(volume: Path) -> None:
    """What lies beside the root comes anew. It may have been a guest's choice, so it is looked at without following."""
    for entry in [one for one in volume.iterdir() if one.name != ROOTFS]:
        paths.remove_tree(entry)


class MountedRoot(Struct, frozen=True):
    """Where a volume's files are seen. `idmapped` says that owners there are those of an id map already."""

    path: Path
    idmapped: bool


class Mountpoint:
    """The rootfs of one volume's directory; failures are OSError."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / ROOTFS
        self._directory = directory

    def make(self) -> None:
        """Make it in a volume that is being made, where it is not there yet."""
        self.path.mkdir(exist_ok=True)
        self._note("")
        self._directory.chmod(0o710)

    def ensure(self, idmap: IdMap | None, attach: Callable[[], None]) -> None:
        """Have `attach` mount it, unless it is mounted for this map already."""
        wanted = idmap.to_json() if idmap else "plain"
        if mounts.is_mountpoint(self.path):
            if self._noted() == _digest(wanted):
                return
            mounts.umount(self.path, lazy=True)
        group = idmap.host_root_gid if idmap else 0
        if (
            self._directory.stat().st_gid != group
        ):  # where all is written anew, a full disk refuses what changes nothing
            os.chown(self._directory, 0, group)
        if self._noted() != _digest(wanted):
            self._note(wanted)
        attach()

    def release(self) -> Callable[[], None] | None:
        """Take the mount out of sight; what is returned lets it go, which may take as long as writing to disk does.

        overlayfs flushes the whole file system below it when its last user goes. None when nothing was mounted.
        """
        if not mounts.is_mountpoint(self.path):
            return None
        held = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            syscalls.umount2(self.path, syscalls.UMOUNT_NOFOLLOW | syscalls.MNT_DETACH)
        except OSError:
            os.close(held)
            raise
        return lambda: os.close(held)

    def _noted(self) -> bytes:
        try:
            return (self._directory / MARK).read_bytes()
        except FileNotFoundError:
            return b""

    def _note(self, wanted: str) -> None:
        descriptor = os.open(self._directory / MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, _digest(wanted), 0)
        finally:
            os.close(descriptor)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).hexdigest().encode()
