"""Trees whose owners are those of an id map, as older systems keep them on disk: made plain again, and made so.

A change of owner takes away setuid bits and file capabilities, so both are put back; capabilities that are tied to the
map's root become those of any, and the other way round. Entries of access lists stay as they are. Nobody else may write
to the tree meanwhile. Blocking; failures are OSError. Source: chown(2), capabilities(7), linux/capability.h.
"""

import os
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from lightervisor.errors import Invalid
from lightervisor.kernel.deep_walk import walk
from lightervisor.kernel.idmap import IdMap

Owner = Callable[[int, Literal["uid", "gid"]], int]
_CAPABILITY = "security.capability"
_REVISION, _V2, _V3 = 0xFF000000, 0x02000000, 0x03000000


def make_plain(root: Path, idmap: IdMap) -> None:
    """Give everything below and including `root` the owners that the map shows inside; what it lacks is nobody's."""
    _walk(root, idmap.to_guest, untied)


def shift(root: Path, idmap: IdMap) -> None:
    """Give everything the owners that the map has outside. What has them already keeps them: may be done twice."""

    def owner(found: int, kind: Literal["uid", "gid"]) -> int:
        if _is_outside(idmap, found, kind):
            return found
        try:
            return idmap.to_host(found, kind)
        except Invalid:  # it has none: nobody's, inside
            return found

    _walk(root, owner, lambda capability: tied(capability, idmap.host_root))


def unshift(root: Path, idmap: IdMap) -> None:
    """The contrary of `shift`, which need not have been done to its end; may be done twice."""

    def owner(found: int, kind: Literal["uid", "gid"]) -> int:
        return idmap.to_guest(found, kind) if _is_outside(idmap, found, kind) else found

    _walk(root, owner, untied)


def _is_outside(idmap: IdMap, found: int, kind: Literal["uid", "gid"]) -> bool:
    return any(one.host <= found < one.host + one.count for one in idmap.ranges if one.kind in ("both", kind))


def _walk(root: Path, owner: Owner, capability: Callable[[bytes], bytes]) -> None:
    seen: set[tuple[int, int]] = set()
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _one(descriptor, ".", owner, capability, seen)
        for folder, names in walk(descriptor):
            for name in names:
                _one(folder, name, owner, capability, seen)
    finally:
        os.close(descriptor)


def _one(folder: int, name: str, owner: Owner, changed: Callable[[bytes], bytes], seen: set[tuple[int, int]]) -> None:
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
    user, group = owner(found.st_uid, "uid"), owner(found.st_gid, "gid")
    if (user, group) == (found.st_uid, found.st_gid):
        return
    os.chown(name, user, group, dir_fd=folder, follow_symlinks=False)
    if capability:
        os.setxattr(path, _CAPABILITY, changed(capability), follow_symlinks=False)
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


def tied(capability: bytes, root: int) -> bytes:
    """A file's capabilities tied to the user who is root inside."""
    if len(capability) != 20:
        return capability
    (magic,) = struct.unpack_from("<I", capability)
    if magic & _REVISION != _V2:
        return capability
    return struct.pack("<I", magic & ~_REVISION | _V3) + capability[4:] + struct.pack("<I", root)
