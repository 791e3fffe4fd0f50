"""Trees whose owners are those of an id map, as older systems keep them on disk: made plain again, and made so.

A change of owner takes away setuid bits and file capabilities, so both are put back; capabilities that are tied to the
map's root become those of any, and the other way round. Entries of access lists stay as they are. Nobody else may write
to the tree meanwhile. Blocking; failures are OSError. Source: chown(2), capabilities(7), linux/capability.h.
"""

import functools
import os
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from lightervisor.errors import Invalid
from lightervisor.kernel.deep_walk import walk
from lightervisor.kernel.idmap import IdMap

Kind = Literal["uid", "gid"]
Key = tuple[int, int]
NOBODY = 65534
_CAPABILITY = "security.capability"
_REVISION, _V2, _V3 = 0xFF000000, 0x02000000, 0x03000000


class Owned(NamedTuple):
    """What a change of owner is about: ids, permissions, and the file's capabilities (b"" for none)."""

    user: int
    group: int
    mode: int
    capability: bytes


class _Found(NamedTuple):
    key: Key
    folder: int
    name: str
    owned: Owned
    links: int


class _Way(NamedTuple):
    """How ids and capabilities change."""

    owner: Callable[[int, Kind], int]
    capability: Callable[[bytes], bytes]


def make_plain(root: Path, idmap: IdMap) -> None:
    """Give everything below and including `root` the owners that the map shows inside; what it lacks is nobody's."""
    _change(root, _Way(idmap.to_guest, untied))


def unshift(root: Path, idmap: IdMap) -> None:
    """Give everything, whose owners are those that the map has outside, those inside."""
    _change(root, _inside(idmap))


def planned(root: Path, present: IdMap | None, wanted: IdMap | None) -> dict[Key, Owned]:
    """What `carry_out` is to give to all that changes when another map takes the place of one; None is no map."""
    plan: dict[Key, Owned] = {}
    for found in _all(root):
        target = _changed(_changed(found.owned, _inside(present)), _outside(wanted))
        if target != found.owned:
            plan[found.key] = target
    return plan


def carry_out(root: Path, plan: Mapping[Key, Owned]) -> None:
    """Give everything what a plan says, which also puts right what was killed in the middle of this."""
    for found in _all(root):
        if target := plan.get(found.key):
            _give(found, target)


def _inside(idmap: IdMap | None) -> _Way:
    if idmap is None:
        return _Way(_same, bytes)

    def owner(found: int, kind: Kind) -> int:
        return idmap.to_guest(found, kind) if _is_outside(idmap, found, kind) else found

    return _Way(owner, untied)


def _outside(idmap: IdMap | None) -> _Way:
    """What the map has no id for keeps its owner; but if that is one of the map's outside, it becomes nobody's."""
    if idmap is None:
        return _Way(_same, bytes)

    def owner(found: int, kind: Kind) -> int:
        with suppress(Invalid):
            return idmap.to_host(found, kind)
        if not _is_outside(idmap, found, kind):
            return found
        with suppress(Invalid):
            return idmap.to_host(NOBODY, kind)
        return next(one.host for one in idmap.ranges if one.kind in ("both", kind))

    return _Way(owner, functools.partial(tied, root=idmap.host_root))


def _same(found: int, _kind: Kind) -> int:
    return found


def _is_outside(idmap: IdMap, found: int, kind: Kind) -> bool:
    return any(one.host <= found < one.host + one.count for one in idmap.ranges if one.kind in ("both", kind))


def _change(root: Path, way: _Way) -> None:
    linked: set[Key] = set()
    for found in _all(root):
        if found.key in linked:
            continue
        if found.links > 1 and not stat.S_ISDIR(found.owned.mode):
            linked.add(found.key)
        _give(found, _changed(found.owned, way))


def _changed(found: Owned, way: _Way) -> Owned:
    """What becomes of it; what keeps its owners keeps everything."""
    user, group = way.owner(found.user, "uid"), way.owner(found.group, "gid")
    if (user, group) == (found.user, found.group):
        return found
    return Owned(user, group, found.mode, way.capability(found.capability))


def _all(root: Path) -> Iterator[_Found]:
    """All of a tree, hard links by each of their names. Keys hold over a restart, where the device may change."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        device = os.fstat(descriptor).st_dev
        yield _found(descriptor, ".", device)
        for folder, names in walk(descriptor):
            for name in names:
                yield _found(folder, name, device)
    finally:
        os.close(descriptor)


def _found(folder: int, name: str, device: int) -> _Found:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    capability = b""
    if stat.S_ISREG(status.st_mode):
        with suppress(OSError):  # it has none, or the file system has none at all
            capability = os.getxattr(_path(folder, name), _CAPABILITY, follow_symlinks=False)
    key = 0 if status.st_dev == device else status.st_dev, status.st_ino
    return _Found(key, folder, name, Owned(status.st_uid, status.st_gid, status.st_mode, capability), status.st_nlink)


def _give(found: _Found, target: Owned) -> None:
    folder, name, now = found.folder, found.name, found.owned
    if target == now:
        return
    if (target.user, target.group) != (now.user, now.group):
        os.chown(name, target.user, target.group, dir_fd=folder, follow_symlinks=False)
    if target.capability:
        os.setxattr(_path(folder, name), _CAPABILITY, target.capability, follow_symlinks=False)
    if target.mode & (stat.S_ISUID | stat.S_ISGID) and not stat.S_ISLNK(target.mode):
        os.chmod(name, stat.S_IMODE(target.mode), dir_fd=folder)


def _path(folder: int, name: str) -> str:
    return f"/proc/self/fd/{folder}/{name}"


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
