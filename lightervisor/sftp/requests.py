"""Answers the requests of one SFTP session, one after the other, in the calling process's root directory.

Every request gets one answer; what the kernel refuses is told as it says it. As Go's server, which LXD uses, RENAME
replaces what is there, and SYMLINK takes the target first. Source: draft-ietf-secsh-filexfer-02, OpenSSH's PROTOCOL.
"""

from __future__ import annotations

import errno
import os
import stat as modes

from lightervisor.client import sftp_packets as sftp
from lightervisor.client.sftp_packets import Attributes, BadPacket, Fields
from lightervisor.sftp.opened import OpenDirectory, Opener, OpenFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lightervisor.sftp.opened import Opened

MOST_HANDLES = 512
LARGEST_READ = sftp.LONGEST - 1024
DIRECTORY_MODE = 0o755
LIMITS, LINKS_ATTRIBUTES = "limits@openssh.com", "lsetstat@openssh.com"
_CODES = {
    errno.ENOENT: sftp.NO_SUCH_FILE,
    errno.EACCES: sftp.PERMISSION_DENIED,
    errno.EPERM: sftp.PERMISSION_DENIED,
}


class Requests:
    """One session."""

    def __init__(self, opener: Opener, *, is_read_only: bool = False) -> None:
        self._opener, self._is_read_only = opener, is_read_only
        self._handles: dict[bytes, Opened] = {}
        self._next, self._about = 0, b""
        self._has_begun = False
        self._kinds: dict[int, tuple[str, Callable[[int, Fields], bytes], bool]] = {
            sftp.OPEN: ("open", self._open, False),  # writing is looked at there
            sftp.CLOSE: ("close", self._close, False),
            sftp.READ: ("read", self._read, False),
            sftp.WRITE: ("write", self._write, True),
            sftp.LSTAT: ("lstat", self._lstat, False),
            sftp.FSTAT: ("fstat", self._fstat, False),
            sftp.SETSTAT: ("setstat", self._setstat, True),
            sftp.FSETSTAT: ("fsetstat", self._fsetstat, True),
            sftp.OPENDIR: ("opendir", self._opendir, False),
            sftp.READDIR: ("readdir", self._readdir, False),
            sftp.REMOVE: ("remove", self._remove, True),
            sftp.MKDIR: ("mkdir", self._mkdir, True),
            sftp.RMDIR: ("rmdir", self._rmdir, True),
            sftp.REALPATH: ("realpath", self._realpath, False),
            sftp.STAT: ("stat", self._stat, False),
            sftp.RENAME: ("rename", self._rename, True),
            sftp.READLINK: ("readlink", self._readlink, False),
            sftp.SYMLINK: ("symlink", self._symlink, True),
            sftp.EXTENDED: ("extended", self._extended, False),
        }
        self._extensions: dict[str, tuple[str, Callable[[int, Fields], bytes], bool]] = {
            sftp.POSIX_RENAME: ("1", self._rename, True),
            sftp.STATVFS: ("2", self._statvfs, False),
            sftp.HARDLINK: ("1", self._hardlink, True),
            sftp.FSYNC: ("1", self._fsync, False),
            LINKS_ATTRIBUTES: ("1", self._lsetstat, True),
            LIMITS: ("1", self._limits, False),
            sftp.WHOLE_FILE: ("1", self._whole, True),
            sftp.PUT_FILE: ("1", self._put, True),
        }

    def answer(self, kind: int, data: bytes) -> bytes:
        """The answer to a packet. Raises BadPacket when this is no SFTP at all: the session cannot go on."""
        fields = Fields(data)
        number = fields.u32()
        if not self._has_begun:
            if kind != sftp.INIT:
                raise BadPacket("a session begins with INIT")
            self._has_begun = True
            return sftp.greeting(sftp.VERSION, {name: told for name, (told, _, _) in self._extensions.items()})
        verb, work, changes = self._kinds.get(kind, ("", self._unknown, False))
        self._about = b""
        return self._answered(number, verb, work, fields, changes=changes)

    def _answered(
        self, number: int, verb: str, work: Callable[[int, Fields], bytes], fields: Fields, *, changes: bool
    ) -> bytes:
        try:
            if changes:
                self._check_writable()
            return work(number, fields)
        except OSError as error:
            code = _CODES.get(error.errno or 0, sftp.FAILURE)
            reason = (error.strerror or str(error)).lower()
            about = os.fsdecode(self._about)
            text = f"{verb} {about}: {reason}" if about else f"{verb}: {reason}"
            return sftp.status(number, code, text.encode(errors="replace").decode())
        except BadPacket as error:
            return sftp.status(number, sftp.BAD_MESSAGE, f"{verb}: {error}")
        except (ValueError, OverflowError) as error:  # a zero byte in a path, a date of no file
            return sftp.status(number, sftp.FAILURE, f"{verb}: {error}")

    def end(self) -> None:
        """The session is over: close what it left open; a file that is not whole does not appear."""
        for opened in self._handles.values():
            try:
                opened.drop()
            except OSError:
                continue
        self._handles.clear()

    # Handles

    def _add(self, number: int, opened: Opened) -> bytes:
        self._next += 1
        handle = b"%d" % self._next
        self._handles[handle] = opened
        return sftp.packet(sftp.HANDLE, number, sftp.string(handle))

    def _check_room(self) -> None:
        if len(self._handles) >= MOST_HANDLES:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def _file(self, fields: Fields) -> OpenFile:
        found = self._handles.get(fields.bytes())
        if not isinstance(found, OpenFile):
            raise OSError(errno.EBADF, "no such handle")
        return found

    def _path(self, fields: Fields) -> bytes:
        self._about = path = fields.bytes()
        return path or b"."

    def _check_writable(self) -> None:
        if self._is_read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    # Files

    def _open(self, number: int, fields: Fields) -> bytes:
        path, wanted = self._path(fields), fields.u32()
        if wanted & ~sftp.FOR_READING:
            self._check_writable()
        self._check_room()
        return self._add(number, self._opener.file(path, wanted, fields.attributes()))

    def _whole(self, number: int, fields: Fields) -> bytes:
        path = self._path(fields)
        self._check_room()
        return self._add(number, self._opener.whole(path, fields.attributes()))

    def _put(self, number: int, fields: Fields) -> bytes:
        path, wanted, data = self._path(fields), fields.attributes(), fields.bytes()
        opened = self._opener.whole(path, wanted)
        try:
            opened.write(0, data)
        except BaseException:
            opened.drop()
            raise
        opened.close()
        return sftp.status(number, sftp.OK)

    def _close(self, number: int, fields: Fields) -> bytes:
        opened = self._handles.pop(fields.bytes(), None)
        if opened is None:
            raise OSError(errno.EBADF, "no such handle")
        opened.close()
        return sftp.status(number, sftp.OK)

    def _read(self, number: int, fields: Fields) -> bytes:
        file, offset, size = self._file(fields), fields.u64(), fields.u32()
        data = file.read(_offset(offset), min(size, LARGEST_READ))
        if not data and size:
            return sftp.status(number, sftp.END, "EOF")
        return sftp.packet(sftp.DATA, number, sftp.string(data))

    def _write(self, number: int, fields: Fields) -> bytes:
        file, offset = self._file(fields), fields.u64()
        file.write(_offset(offset), fields.bytes())
        return sftp.status(number, sftp.OK)

    def _fsync(self, number: int, fields: Fields) -> bytes:
        os.fsync(self._file(fields).descriptor)
        return sftp.status(number, sftp.OK)

    # What is told

    def _lstat(self, number: int, fields: Fields) -> bytes:
        return _told(number, os.lstat(self._path(fields)))

    def _stat(self, number: int, fields: Fields) -> bytes:
        return _told(number, os.stat(self._path(fields)))  # noqa: PTH116 - bytes

    def _fstat(self, number: int, fields: Fields) -> bytes:
        return _told(number, os.fstat(self._file(fields).descriptor))

    def _statvfs(self, number: int, fields: Fields) -> bytes:
        found = os.statvfs(self._path(fields))
        flags = found.f_flag & (os.ST_RDONLY | os.ST_NOSUID)
        numbers = (found.f_bsize, found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files)
        more = (found.f_ffree, found.f_favail, found.f_fsid & 0xFFFFFFFFFFFFFFFF, flags, found.f_namemax)
        return sftp.packet(sftp.EXTENDED_REPLY, number, *(sftp.u64(one) for one in numbers + more))

    def _limits(self, number: int, _fields: Fields) -> bytes:
        limits = (sftp.LONGEST, LARGEST_READ, LARGEST_READ, MOST_HANDLES)
        return sftp.packet(sftp.EXTENDED_REPLY, number, *(sftp.u64(one) for one in limits))

    # What is changed

    def _setstat(self, number: int, fields: Fields) -> bytes:
        _change(self._path(fields), fields.attributes())
        return sftp.status(number, sftp.OK)

    def _fsetstat(self, number: int, fields: Fields) -> bytes:
        _change(self._file(fields).descriptor, fields.attributes())
        return sftp.status(number, sftp.OK)

    def _lsetstat(self, number: int, fields: Fields) -> bytes:
        path, wanted = self._path(fields), fields.attributes()
        if wanted.uid is not None and wanted.gid is not None:
            os.chown(path, wanted.uid, wanted.gid, follow_symlinks=False)
        if wanted.seconds is not None:
            os.utime(path, wanted.seconds, follow_symlinks=False)
        return sftp.status(number, sftp.OK)

    def _remove(self, number: int, fields: Fields) -> bytes:
        path = self._path(fields)
        if modes.S_ISDIR(os.lstat(path).st_mode):  # as LXD's server does; others have RMDIR for that
            os.rmdir(path)  # noqa: PTH106 - bytes
        else:
            os.unlink(path)  # noqa: PTH108 - bytes
        return sftp.status(number, sftp.OK)

    def _mkdir(self, number: int, fields: Fields) -> bytes:
        path, wanted = self._path(fields), fields.attributes()
        mode = DIRECTORY_MODE if wanted.mode is None else modes.S_IMODE(wanted.mode)
        os.mkdir(path, mode)  # noqa: PTH102 - bytes
        if wanted.uid is not None and wanted.gid is not None:
            os.chown(path, wanted.uid, wanted.gid, follow_symlinks=False)
        return sftp.status(number, sftp.OK)

    def _rmdir(self, number: int, fields: Fields) -> bytes:
        os.rmdir(self._path(fields))  # noqa: PTH106 - bytes
        return sftp.status(number, sftp.OK)

    def _rename(self, number: int, fields: Fields) -> bytes:
        old, new = self._path(fields), fields.bytes()
        os.rename(old, new)  # noqa: PTH104 - bytes
        return sftp.status(number, sftp.OK)

    def _hardlink(self, number: int, fields: Fields) -> bytes:
        old, new = self._path(fields), fields.bytes()
        os.link(old, new, follow_symlinks=False)
        return sftp.status(number, sftp.OK)

    def _symlink(self, number: int, fields: Fields) -> bytes:
        target, path = fields.bytes(), self._path(fields)
        os.symlink(target, path)  # noqa: PTH211 - bytes
        return sftp.status(number, sftp.OK)

    # Paths and directories

    def _readlink(self, number: int, fields: Fields) -> bytes:
        return _named(number, os.readlink(self._path(fields)))  # noqa: PTH115 - bytes

    def _realpath(self, number: int, fields: Fields) -> bytes:
        return _named(number, os.path.realpath(self._path(fields)))

    def _opendir(self, number: int, fields: Fields) -> bytes:
        path = self._path(fields)
        self._check_room()
        return self._add(number, OpenDirectory(path))

    def _readdir(self, number: int, fields: Fields) -> bytes:
        found = self._handles.get(fields.bytes())
        if not isinstance(found, OpenDirectory):
            raise OSError(errno.EBADF, "no such handle")
        entries = found.next()
        if not entries:
            return sftp.status(number, sftp.END, "EOF")
        return sftp.packet(sftp.NAME, number, sftp.u32(len(entries)), *entries)

    # The rest

    def _extended(self, number: int, fields: Fields) -> bytes:
        name = fields.text()
        _, work, changes = self._extensions.get(name, ("", self._unknown, False))
        return self._answered(number, name.partition("@")[0], work, fields, changes=changes)

    def _unknown(self, number: int, _fields: Fields) -> bytes:
        return sftp.status(number, sftp.UNSUPPORTED, "this server does not know of it")


def _offset(number: int) -> int:
    if number >= 1 << 63:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return number


def _told(number: int, status: os.stat_result) -> bytes:
    return sftp.packet(sftp.ATTRS, number, sftp.attributes_of(status).packed())


def _named(number: int, path: bytes) -> bytes:
    return sftp.packet(sftp.NAME, number, sftp.u32(1), sftp.string(path), sftp.string(path), Attributes().packed())


def _change(what: bytes | int, wanted: Attributes) -> None:
    """Size, owner, mode and times, in this order: a change of the owner takes bits from the mode."""
    if wanted.size is not None:
        os.truncate(what, _offset(wanted.size))
    if wanted.uid is not None and wanted.gid is not None:
        os.chown(what, wanted.uid, wanted.gid)
    if wanted.mode is not None:
        os.chmod(what, modes.S_IMODE(wanted.mode))  # noqa: PTH101 - bytes
    if wanted.seconds is not None:
        os.utime(what, wanted.seconds)
