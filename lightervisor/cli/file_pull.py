"""Trees out of an instance by one SFTP stream: `lxc file pull -r`.

The instance says what the names are and what is there, and need not tell the truth twice. So everything here is done
in directories that are open, a link that is here is replaced and never followed, and a file has its name when it is
whole.
"""

from __future__ import annotations

import os
import stat as modes

from lightervisor.cli.errors import CommandError
from lightervisor.client import sftp_packets
from lightervisor.client.sftp import Ask, Refused
from lightervisor.client.sftp_packets import Attributes, string, u32, u64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightervisor.cli.transfer import Meter
    from lightervisor.client.sftp import Answer, Job, Session

PIECE, AT_ONCE = 128 << 10, 16
_GO_PIECE = 32 << 10  # Go's server gives no more at a time
_NOTHING = bytes(PIECE)


class _Folder:
    """A directory here, open until all that comes into it has come; it gets its mode then."""

    def __init__(self, descriptor: int, mode: int, parent: _Folder | None) -> None:
        self.descriptor, self._mode, self._parent = descriptor, mode, parent
        self._missing = 1
        if parent is not None:
            parent.expect()

    def expect(self) -> None:
        """One more thing comes into it."""
        self._missing += 1

    def arrived(self) -> None:
        """One of these has come, or the list of them has ended."""
        self._missing -= 1
        if not self._missing:
            os.fchmod(self.descriptor, self._mode & 0o777)
            os.close(self.descriptor)
            self.descriptor = -1
            if self._parent is not None:
                self._parent.arrived()


def is_directory(path: str) -> Job:
    """Whether something that is there is a directory."""
    yield Ask(sftp_packets.LSTAT, string(os.fsencode(path)))
    (found,) = yield None
    return modes.S_ISDIR(found.fields.attributes().mode or 0)


class TreePull:
    """Pulls what is there into a directory here; `meter` counts the bytes, `warn` is told what is left out."""

    def __init__(self, session: Session, meter: Meter | None, warn: Callable[[str], None]) -> None:
        self._session, self._meter, self._warn = session, meter, warn
        self._piece = PIECE if sftp_packets.WHOLE_FILE in session.extensions else _GO_PIECE
        self._waiting: list[Job] = []
        self._folders: list[_Folder] = []

    def pull(self, path: str, place: str) -> None:
        """Copy whatever is at `path`, with all that is in it, to `place`, whose directory is there."""
        head, _, name = place.rstrip("/").rpartition("/")
        folder = _Folder(
            os.open(head or ("/" if place.startswith("/") else "."), os.O_RDONLY | os.O_DIRECTORY), 0, None
        )
        try:
            self._session.run_all(self._jobs(self._first(os.fsencode(path), folder.descriptor, os.fsencode(name))))
        finally:
            os.close(folder.descriptor)
            for one in self._folders:
                if one.descriptor >= 0:
                    os.close(one.descriptor)

    def _jobs(self, first: Job) -> Iterator[Job | None]:
        yield first
        while True:  # the last first, so that few directories are open
            yield self._waiting.pop() if self._waiting else None

    def _first(self, path: bytes, directory: int, name: bytes) -> Job:
        yield Ask(sftp_packets.LSTAT, string(path))
        (found,) = yield None
        yield from self._one(path, directory, name, found.fields.attributes(), None)

    def _one(self, path: bytes, directory: int, name: bytes, told: Attributes, parent: _Folder | None) -> Job:
        kind = modes.S_IFMT(told.mode or 0)
        if kind == modes.S_IFDIR:
            folder = _Folder(_made(directory, name), told.mode or 0, parent)
            self._folders.append(folder)
            yield from self._directory(path, folder)
        elif kind == modes.S_IFLNK:
            yield Ask(sftp_packets.READLINK, string(path))
            (found,) = yield None
            fields = found.fields
            _replace(directory, name, lambda beside: os.symlink(_target(fields), beside, dir_fd=directory))
        elif kind == modes.S_IFREG:
            yield from self._file(path, directory, name, told)
        else:
            self._warn(f"{os.fsdecode(path)} is a device, a pipe or a socket, and is left out")

    def _child(self, path: bytes, name: bytes, told: Attributes, folder: _Folder) -> Job:
        yield from self._one(path.rstrip(b"/") + b"/" + name, folder.descriptor, name, told, folder)
        folder.arrived()

    def _directory(self, path: bytes, folder: _Folder) -> Job:
        yield Ask(sftp_packets.OPENDIR, string(path))
        (opened,) = yield None
        handle = string(opened.fields.bytes())
        seen: set[bytes] = set()
        while True:
            yield Ask(sftp_packets.READDIR, handle, lenient=True)
            (listed,) = yield None
            if listed.kind != sftp_packets.NAME:
                break
            for name, told in _entries(listed):
                if name in (b".", b".."):
                    continue
                if not name or b"/" in name or b"\0" in name or name in seen:
                    raise CommandError(f"The instance gave an impossible file name: {os.fsdecode(name)!r}")
                seen.add(name)
                folder.expect()
                self._waiting.append(self._child(path, name, told, folder))
        if listed.code != sftp_packets.END:
            raise Refused(listed)
        yield Ask(sftp_packets.CLOSE, handle)
        yield None
        folder.arrived()

    def _file(self, path: bytes, directory: int, name: bytes, told: Attributes) -> Job:
        yield Ask(sftp_packets.OPEN, string(path), u32(sftp_packets.FOR_READING), Attributes().packed())
        (opened,) = yield None
        handle = string(opened.fields.bytes())
        beside = _beside()
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            end = yield from self._content(handle, descriptor, told.size or 0)
            yield Ask(sftp_packets.CLOSE, handle)
            yield None
            os.ftruncate(descriptor, end)
            os.fchmod(descriptor, (told.mode or 0) & 0o777)
            os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(beside, dir_fd=directory)
            raise
        finally:
            os.close(descriptor)

    def _content(self, handle: bytes, descriptor: int, size: int) -> Job:
        """Write a file's content, holes for zeros; where it ends. Files of the kernel have more than their size."""
        start, is_ended = 0, False
        while not is_ended:
            asked: list[tuple[int, int]] = []
            while len(asked) < AT_ONCE and (not asked or start < size):
                asked.append((start, self._piece))
                start += self._piece
            while asked:
                for offset, length in asked:
                    yield Ask(sftp_packets.READ, handle, u64(offset), u32(length), lenient=True)
                answers = yield None
                missing: list[tuple[int, int]] = []
                for (offset, length), answer in zip(asked, answers, strict=True):
                    if answer.kind != sftp_packets.DATA:
                        if answer.code != sftp_packets.END:
                            raise Refused(answer)
                        is_ended, start = True, min(start, offset)
                        continue
                    data = answer.fields.bytes()
                    self._write(descriptor, offset, data)
                    if 0 < len(data) < length:
                        missing.append((offset + len(data), length - len(data)))
                asked = missing
            if 0 < size <= start:  # of one that grows meanwhile there is no end
                break
        return start

    def _write(self, descriptor: int, offset: int, data: bytes) -> None:
        if self._meter:
            self._meter.add(len(data))
        if data == (_NOTHING if len(data) == PIECE else bytes(len(data))):
            return
        while data:
            written = os.pwrite(descriptor, data, offset)
            data, offset = data[written:], offset + written


def _entries(listed: Answer) -> Iterator[tuple[bytes, Attributes]]:
    fields = listed.fields
    for _ in range(fields.u32()):
        name = fields.bytes()
        fields.bytes()  # the same for people
        yield name, fields.attributes()


def _target(fields: sftp_packets.Fields) -> bytes:
    return fields.bytes() if fields.u32() else b""


def _beside() -> bytes:
    return b".lxc-pull-" + os.urandom(8).hex().encode()


def _made(parent: int, name: bytes) -> int:
    """A directory of this name, made unless it is there; a link is replaced."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        if modes.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, flags, dir_fd=parent)


def _replace(parent: int, name: bytes, make: Callable[[bytes], None]) -> None:
    beside = _beside()
    make(beside)
    try:
        os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.unlink(beside, dir_fd=parent)
        raise
