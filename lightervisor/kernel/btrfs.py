"""Subvolumes of btrfs: make, snapshot, destroy, and look at them, by the kernel's own calls.

A subvolume is a tree of files of its own, seen as a directory; others may be nested in it, made by a guest, and a
snapshot has an empty directory where they are. Those are reached by their numbers, never by a path that a guest could
change meanwhile. Source: linux/btrfs.h, linux/btrfs_tree.h, fs/btrfs/ioctl.c, open_by_handle_at(2).
"""

import errno
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from lightervisor.kernel import syscalls

ROOT_INODE = 256
"""The inode of every subvolume's own directory."""
TOP = 5
"""The subvolume that every file system begins with."""
_READ_ONLY = 1 << 1
_MAGIC = 0x94
_NAMED, _NAMED_2 = struct.Struct("=q4088s"), struct.Struct("=qQQ32x4040s")
_LOOK_UP, _SEARCH, _FOUND = struct.Struct("=QQ4080s"), struct.Struct("=7Q4I32x"), struct.Struct("=QQQII")
_FACTS = struct.Struct("=Q256sQQQQ16s16s16s")
_FACTS_SIZE, _BUFFER = 504, 4096
_RECEIVED = struct.Struct("=16s184x")
_LONGEST = 255
_HANDLE = struct.Struct("=IiQQI")
_HANDLE_KIND = 0x4D  # FILEID_BTRFS_WITHOUT_PARENT
_TREE_OF_ROOTS, _CHILD = 1, 156
_REFERENCE = struct.Struct("=QQH")
_ANY = (1 << 64) - 1


class Subvolume(Struct, frozen=True, kw_only=True):
    """What the file system knows of a subvolume; `received` is what `btrfs receive` made it of, if that did."""

    number: int
    uuid: UUID
    received: UUID | None
    generation: int
    is_read_only: bool


class Nested(Struct, frozen=True, kw_only=True):
    """A subvolume in another one: its number, and its path in the one that was asked, a guest's choice of bytes."""

    number: int
    path: bytes


class Child(Struct, frozen=True, kw_only=True):
    """A subvolume, and its name in the directory of another one: numbers of that one, and of the directory's inode."""

    number: int
    parent: int
    directory: int
    name: bytes


def number(direction: int, order: int, size: int) -> int:
    """The number of one of the file system's calls: 1 is written to the kernel, 2 read, 3 both."""
    return direction << 30 | size << 16 | _MAGIC << 8 | order


@contextmanager
def opened(directory: Path) -> Generator[int, None, None]:
    """A directory of ours, its last link not followed. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_subvolume(path: Path) -> bool:
    """Whether a path on btrfs is a subvolume's own directory."""
    try:
        return path.lstat().st_ino == ROOT_INODE and path.is_dir()
    except FileNotFoundError:
        return False


def create(path: Path, mode: int = 0o700) -> None:
    """Make an empty subvolume. It is on disk when this returns. Raises OSError."""
    with opened(path.parent) as parent:
        _call(parent, number(1, 24, _NAMED_2.size), _NAMED_2.pack(0, 0, 0, _name(path.name)))
    path.chmod(mode)


def snapshot(source: Path | int, target: Path, *, read_only: bool = False) -> None:
    """Make a subvolume of what another, by path or open, holds now. It is on disk when this returns. Raises OSError."""
    if isinstance(source, Path):
        with opened(source) as descriptor, opened(target.parent) as parent:
            snapshot_in(descriptor, parent, os.fsencode(target.name), read_only=read_only)
        return
    with opened(target.parent) as parent:
        snapshot_in(source, parent, os.fsencode(target.name), read_only=read_only)


def snapshot_in(source: int, parent: int, name: bytes, *, read_only: bool = False) -> None:
    """As `snapshot`, in an open directory."""
    flags = _READ_ONLY if read_only else 0
    _call(parent, number(1, 23, _NAMED_2.size), _NAMED_2.pack(source, 0, flags, _name(os.fsdecode(name))))


def destroy(path: Path) -> None:
    """Take a subvolume away at once; the kernel frees what it took behind.

    Raises OSError: ENOTEMPTY while others are nested in it, FileNotFoundError.
    """
    with opened(path.parent) as parent:
        _call(parent, number(1, 15, _NAMED.size), _NAMED.pack(0, _name(path.name)))


def grow(anywhere: int) -> None:
    """Let the file system of an open directory take all of its device. Raises OSError."""
    _call(anywhere, number(1, 3, _NAMED.size), _NAMED.pack(0, b"max"))


def is_read_only(descriptor: int) -> bool:
    """Whether nobody can write to an open subvolume. Raises OSError."""
    content = bytearray(8)
    syscalls.ioctl(descriptor, number(2, 25, 8), content)
    return bool(struct.unpack("=Q", content)[0] & _READ_ONLY)


def set_read_only(descriptor: int, wanted: bool) -> None:
    """Let nobody write to an open subvolume, or let them again; it is on disk when this returns. Raises OSError."""
    if is_read_only(descriptor) != wanted:
        _call(descriptor, number(1, 26, 8), struct.pack("=Q", _READ_ONLY if wanted else 0))


def set_received(descriptor: int, uuid: UUID) -> None:
    """Note what an open subvolume was received as, which can be written to still. Raises OSError."""
    _call(descriptor, number(3, 37, _RECEIVED.size), _RECEIVED.pack(uuid.bytes))


def facts(descriptor: int) -> Subvolume:
    """What is known of the subvolume of an open file or directory. Raises OSError."""
    content = bytearray(_FACTS_SIZE)
    syscalls.ioctl(descriptor, number(2, 60, _FACTS_SIZE), content)
    found, _, _, _, generation, flags, uuid, _, received = _FACTS.unpack_from(content)
    return Subvolume(
        number=found,
        uuid=UUID(bytes=uuid),
        received=UUID(bytes=received) if any(received) else None,
        generation=generation,
        is_read_only=bool(flags & 1),
    )


def number_of(descriptor: int) -> int:
    """The number of the subvolume of an open file or directory. Raises OSError."""
    content = bytearray(_LOOK_UP.pack(0, ROOT_INODE, b""))
    syscalls.ioctl(descriptor, number(3, 18, _BUFFER), content)
    return _LOOK_UP.unpack(content)[0]


def open_number(anywhere: int, subvolume: int) -> int:
    """The directory of a subvolume, wherever it is in the file system of an open directory: the caller's to close."""
    handle = _HANDLE.pack(20, _HANDLE_KIND, ROOT_INODE, subvolume, 0)
    return syscalls.open_by_handle(anywhere, handle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def nested(descriptor: int, subvolume: int | None = None) -> list[Nested]:
    """The subvolumes in that of an open directory, at any depth, each after the one that it is in. Raises OSError."""
    waiting = [Nested(number=number_of(descriptor) if subvolume is None else subvolume, path=b"")]
    found: list[Nested] = []
    while waiting:
        parent = waiting.pop()
        start = parent.path + b"/" if parent.path else b""
        for content, child in search(descriptor, _TREE_OF_ROOTS, _CHILD, parent.number):
            directory, _, length = _REFERENCE.unpack_from(content)
            name = content[_REFERENCE.size : _REFERENCE.size + length]
            try:
                place = _path_in(descriptor, parent.number, directory)
            except FileNotFoundError:  # it has just been taken away
                continue
            found.append(Nested(number=child, path=start + place + name))
            waiting.append(found[-1])
    return found


def children(descriptor: int) -> list[Child]:
    """The same without paths, which a guest may have made too long to be told. Raises OSError."""
    waiting, found = [number_of(descriptor)], list[Child]()
    for parent in waiting:
        for content, child in search(descriptor, _TREE_OF_ROOTS, _CHILD, parent):
            directory, _, length = _REFERENCE.unpack_from(content)
            name = content[_REFERENCE.size : _REFERENCE.size + length]
            found.append(Child(number=child, parent=parent, directory=directory, name=name))
            waiting.append(child)
    return found


def destroy_child(anywhere: int, child: Child) -> None:
    """As `destroy`, however long its path is: by its name in its directory, which is opened by its inode."""
    handle = _HANDLE.pack(20, _HANDLE_KIND, child.directory, child.parent, 0)
    place = syscalls.open_by_handle(anywhere, handle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _call(place, number(1, 15, _NAMED.size), _NAMED.pack(0, child.name))
    finally:
        os.close(place)


def _path_in(descriptor: int, subvolume: int, directory: int) -> bytes:
    """The path of a directory in its subvolume, with a slash at its end, or nothing for the subvolume's own."""
    if directory == ROOT_INODE:
        return b""
    content = bytearray(_LOOK_UP.pack(subvolume, directory, b""))
    syscalls.ioctl(descriptor, number(3, 18, _BUFFER), content)
    return _LOOK_UP.unpack(content)[2].partition(b"\0")[0]


def search(
    descriptor: int, tree: int, kind: int, objectid: int, offset: int | None = None
) -> Generator[tuple[bytes, int], None, None]:
    """The content and offset of items of one kind and object in a tree, of one offset or of all.

    Raises FileNotFoundError when there is no such tree, OSError.
    """
    first, last = (0, _ANY) if offset is None else (offset, offset)
    while True:
        content = bytearray(_BUFFER)
        _SEARCH.pack_into(content, 0, tree, objectid, objectid, first, last, 0, _ANY, kind, kind, _BUFFER, 0)
        syscalls.ioctl(descriptor, number(3, 17, _BUFFER), content)
        count = _SEARCH.unpack_from(content)[9]
        if not count:
            return
        position, found = _SEARCH.size, 0
        for _ in range(count):
            _, _, found, _, length = _FOUND.unpack_from(content, position)
            position += _FOUND.size
            yield bytes(content[position : position + length]), found
            position += length
        if found >= last:
            return
        first = found + 1


def _name(name: str) -> bytes:
    encoded = os.fsencode(name)
    if not encoded or len(encoded) > _LONGEST or b"/" in encoded:
        raise OSError(errno.ENAMETOOLONG if len(encoded) > _LONGEST else errno.EINVAL, "name of a subvolume", name)
    return encoded


def _call(descriptor: int, request: int, content: bytes) -> None:
    syscalls.ioctl(descriptor, request, bytearray(content))
