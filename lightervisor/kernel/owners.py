"""Trees whose owners are those of an id map, as older systems keep them on disk, made plain again.

A change of owner takes away setuid bits and file capabilities, so both are put back; capabilities that are tied to the
map's root become those of any. Source: chown(2), capabilities(7), linux/capability.h.
"""

import os
import stat
import struct
from contextlib import suppress
from pathlib import Path

from lightervisor.kernel.idmap import IdMap

_CAPABILITY = "security.capability"
_REVISION, _V2, _V3 = 0xFF000000, 0x02000000, 0x03000000


def make_plain(root: Path, idmap: IdMap) -> None:
    """Give everything below and including `root` the owners that the map shows inside; what it lacks is nobody's.

    Nobody else may write there meanwhile. Blocking. Raises OSError.
    """
    seen: set[tuple[int, int]] = set()
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _one(descriptor, ".", idmap, seen)
        for _, folders, files, folder in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False):
            for name in (*folders, *files):
                _one(folder, name, idmap, seen)
    finally:
        os.close(descriptor)


def _one(folder: int, name: str, idmap: IdMap, seen: set[tuple[int, int]]) -> None:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
        if (found.st_dev, found.st_ino) in seen:
            return
        seen.add((found.st_dev, found.st_ino))
    path = f"/proc/self/fd/{folder}/{name}"
    capability = b""
    if stat.S_ISREG(found.st_mode):
        with suppress(OSError):  # it has none, or the file system has none at all
            capability = os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    owner, group = idmap.to_guest(found.st_uid, "uid"), idmap.to_guest(found.st_gid, "gid")
    os.chown(name, owner, group, dir_fd=folder, follow_symlinks=False)
    if capability:
        os.setxattr(path, _CAPABILITY, untied(capability), follow_symlinks=False)
    if found.st_mode & (stat.S_ISUID | stat.S_ISGID) and not stat.S_ISLNK(found.st_mode):
        os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=folder)


def untied(capability: bytes) -> bytes:
    """A file's capabilities without the root id that they are tied to, if any."""
    if len(capability) != 24:
        return capability
    (magic,) = struct.unpack_from("<I", capability)
    if magic & _REVISION != _V3:
        return capability
    return struct.pack("<I", magic & ~_REVISION | _V2) + capability[4:20]
