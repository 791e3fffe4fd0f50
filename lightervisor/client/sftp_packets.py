"""The packets of SFTP version 3, for the client and for the process that serves; standard library only.

A packet is its length (four bytes), its type (one byte), the number of the request that it is or answers (not in INIT
and VERSION), and the fields of its type. Source: draft-ietf-secsh-filexfer-02, OpenSSH's PROTOCOL (extensions).
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

VERSION_3 = 3
INIT, VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = range(1, 11)
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = range(11, 21)
STATUS, HANDLE, DATA, NAME, ATTRS = range(101, 106)
EXTENDED, EXTENDED_REPLY = 200, 201

OK, END, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, NO_CONNECTION, CONNECTION_LOST, UNSUPPORTED = range(9)

FOR_READING, FOR_WRITING, APPENDING, CREATING, TRUNCATING, EXCLUSIVE = 1, 2, 4, 8, 16, 32
_SIZE, _IDS, _MODE, _TIMES, _MORE = 1, 2, 4, 8, 0x80000000

LONGEST = 256 << 10  # bytes of a packet after its length; what Go's server takes
POSIX_RENAME, HARDLINK, STATVFS, FSYNC = (
    f"{name}@openssh.com" for name in ("posix-rename", "hardlink", "statvfs", "fsync")
)
WHOLE_FILE = "whole-file@lightervisor"
"""Our own, as OPEN for writing (path, attributes): what is written appears at the path with CLOSE, or not at all."""
PUT_FILE = "put-file@lightervisor"
"""Our own: a whole file (path, attributes, content) in one request, as WHOLE_FILE, WRITE and CLOSE would make it."""

_u32, _u64 = struct.Struct(">I"), struct.Struct(">Q")
_head = struct.Struct(">IBI")


class BadPacket(Exception):
    """Bytes that are not what their type says."""


class Attributes:
    """What is told of a file; None is what is not told. Times are whole seconds since the epoch."""

    __slots__ = ("gid", "mode", "seconds", "size", "uid")

    def __init__(
        self,
        *,
        size: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mode: int | None = None,
        seconds: tuple[int, int] | None = None,
    ) -> None:
        """`mode` has the kind of the file in its upper bits; `seconds` are those of access and of modification."""
        self.size, self.uid, self.gid, self.mode, self.seconds = size, uid, gid, mode, seconds

    def packed(self) -> bytes:
        """As a field of a packet."""
        flags, parts = 0, [b""]
        if self.size is not None:
            flags |= _SIZE
            parts.append(_u64.pack(self.size))
        if self.uid is not None and self.gid is not None:
            flags |= _IDS
            parts += (_u32.pack(self.uid), _u32.pack(self.gid))
        if self.mode is not None:
            flags |= _MODE
            parts.append(_u32.pack(self.mode))
        if self.seconds is not None:
            flags |= _TIMES
            parts += (_u32.pack(self.seconds[0] & 0xFFFFFFFF), _u32.pack(self.seconds[1] & 0xFFFFFFFF))
        parts[0] = _u32.pack(flags)
        return b"".join(parts)


def attributes_of(status: os.stat_result) -> Attributes:
    """What stat(2) told."""
    return Attributes(
        size=status.st_size,
        uid=status.st_uid,
        gid=status.st_gid,
        mode=status.st_mode,
        seconds=(int(status.st_atime), int(status.st_mtime)),
    )


class Fields:
    """Takes the fields of a packet, one after the other. Each method raises BadPacket when there are not so many."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self._data, self._at = data, at

    def _skip(self, size: int) -> int:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise BadPacket("it ends before its fields do")
        return start

    def u32(self) -> int:
        """A number of four bytes."""
        return _u32.unpack_from(self._data, self._skip(4))[0]

    def u64(self) -> int:
        """A number of eight bytes."""
        return _u64.unpack_from(self._data, self._skip(8))[0]

    def bytes(self) -> bytes:
        """Some bytes with their number before them."""
        size = self.u32()
        start = self._skip(size)
        return bytes(self._data[start : start + size])

    def text(self) -> str:
        """The same as text, for what is compared with names of the protocol."""
        return self.bytes().decode("utf-8", "replace")

    def attributes(self) -> Attributes:
        """What is told of a file; what we do not know of is passed over."""
        flags = self.u32()
        found = Attributes()
        if flags & _SIZE:
            found.size = self.u64()
        if flags & _IDS:
            found.uid, found.gid = self.u32(), self.u32()
        if flags & _MODE:
            found.mode = self.u32()
        if flags & _TIMES:
            found.seconds = self.u32(), self.u32()
        if flags & _MORE:
            for _ in range(self.u32()):  # ends with the packet, whatever the number
                self.bytes()
                self.bytes()
        return found

    def extensions(self) -> dict[str, str]:
        """Names and versions up to the end of the packet."""
        found: dict[str, str] = {}
        while self._at < len(self._data):
            name = self.text()
            found[name] = self.text()
        return found


def string(data: bytes) -> bytes:
    """Some bytes as a field."""
    return _u32.pack(len(data)) + data


def u32(number: int) -> bytes:
    """A number of four bytes as a field."""
    return _u32.pack(number)


def u64(number: int) -> bytes:
    """A number of eight bytes as a field."""
    return _u64.pack(number)


def packet(kind: int, number: int, *fields: bytes) -> bytes:
    """A whole packet with the number of its request."""
    return b"".join((_head.pack(5 + sum(map(len, fields)), kind, number), *fields))


def greeting(kind: int, extensions: Mapping[str, str] | None = None) -> bytes:
    """INIT or VERSION, which have the protocol's version where others have a number."""
    fields = [string(part.encode()) for pair in (extensions or {}).items() for part in pair]
    return packet(kind, VERSION_3, *fields)


def status(number: int, code: int, text: str = "") -> bytes:
    """How a request ended."""
    return packet(STATUS, number, _u32.pack(code), string(text.encode("utf-8", "replace")), string(b"en"))


def taken(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take the first packet out of a buffer: its type and what follows; None while it is not whole.

    Raises BadPacket for one that is empty or longer than allowed.
    """
    if len(buffer) < 4:
        return None
    (size,) = _u32.unpack_from(buffer)
    if not 1 <= size <= LONGEST:
        raise BadPacket(f"a packet of {size} bytes")
    if len(buffer) < 4 + size:
        return None
    kind = buffer[4]
    with memoryview(buffer) as view:
        rest = bytes(view[5 : 4 + size])
    del buffer[: 4 + size]
    return kind, rest
