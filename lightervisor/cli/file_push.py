"""Trees into an instance by one SFTP stream: `lxc file push -r`, with owners, modes, links and holes as here."""

from __future__ import annotations

import os
import stat as modes

from lightervisor.cli.errors import CommandError
from lightervisor.client import sftp_packets
from lightervisor.client.sftp import Ask, Refused
from lightervisor.client.sftp_packets import Attributes, string, u32, u64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightervisor.cli.transfer import Meter
    from lightervisor.client.sftp import Answer, Job, Session

PIECE = 128 << 10
_LINKS_ATTRIBUTES = b"lsetstat@openssh.com"


class TreePush:
    """Pushes what is here into a folder there; `meter` counts the bytes."""

    def __init__(self, session: Session, meter: Meter | None) -> None:
        self._session, self._meter = session, meter
        self._is_ours = sftp_packets.WHOLE_FILE in session.extensions
        self._puts = sftp_packets.PUT_FILE in session.extensions

    def push(self, sources: list[str], folder: str) -> None:
        """Push files, links and directories with all that is in them; the folder is there already."""
        for source in sources:
            name = os.path.basename(os.path.abspath(source))  # noqa: PTH100, PTH119
            place = os.fsencode(folder.rstrip("/") + "/" + name)
            self._session.run_all(self._jobs(os.fsencode(source), place))

    def push_file(self, source: str, place: str, wanted: Attributes) -> None:
        """Push one file to a path that is its own; owner and mode are those of a file that is made."""
        self._session.run(self._file(os.fsencode(source), os.fsencode(place), wanted))

    def _jobs(self, source: bytes, place: bytes) -> Iterator[Job]:
        """What is to be done, a directory before what is in it."""
        status = os.lstat(source)
        if modes.S_ISLNK(status.st_mode):
            yield self._link(os.readlink(source), place, status)  # noqa: PTH115 - bytes
        elif modes.S_ISDIR(status.st_mode):
            yield self._directory(place, status)
            for name in sorted(os.listdir(source)):  # noqa: PTH208 - bytes
                yield from self._jobs(source + b"/" + name, place + b"/" + name)
        elif modes.S_ISREG(status.st_mode):
            yield self._file(source, place)
        else:
            raise CommandError(f"'{os.fsdecode(source)}' isn't a supported file type")

    def _directory(self, place: bytes, status: os.stat_result) -> Job:
        yield Ask(sftp_packets.MKDIR, string(place), Attributes(mode=status.st_mode & 0o777).packed(), lenient=True)
        (made,) = yield None
        if made.code == sftp_packets.OK:
            owned = _owned(status)
            yield Ask(sftp_packets.SETSTAT, string(place), Attributes(uid=owned.uid, gid=owned.gid).packed())
            yield Ask(sftp_packets.SETSTAT, string(place), Attributes(mode=owned.mode).packed())
            yield None
            return
        yield Ask(sftp_packets.STAT, string(place), lenient=True)
        (found,) = yield None
        if found.code != sftp_packets.OK or not modes.S_ISDIR(found.fields.attributes().mode or 0):
            raise Refused(made)

    def _link(self, target: bytes, place: bytes, status: os.stat_result) -> Job:
        yield Ask(sftp_packets.SYMLINK, string(target), string(place), lenient=True)
        (made,) = yield None
        if made.code != sftp_packets.OK:
            yield Ask(sftp_packets.READLINK, string(place), lenient=True)
            (found,) = yield None
            if found.code != sftp_packets.OK or _first_name(found) != target:
                raise Refused(made)
        elif self._is_ours:  # Go's server cannot
            owner = Attributes(uid=status.st_uid, gid=status.st_gid).packed()
            yield Ask(sftp_packets.EXTENDED, string(_LINKS_ATTRIBUTES), string(place), owner)
            yield None

    def _file(self, source: bytes, place: bytes, wanted: Attributes | None = None) -> Job:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if self._puts and status.st_size < PIECE and (data := _whole(descriptor, status.st_size)) is not None:
                yield self._put(place, wanted or _owned(status), data)
                yield None
                return
            handle = yield from self._opened(place, wanted or _owned(status))
            end = 0
            for offset, data in pieces(descriptor, status):
                yield Ask(sftp_packets.WRITE, handle, u64(offset), string(data))
                end = offset + len(data)
                if self._meter:
                    self._meter.add(len(data))
            if end < status.st_size:  # a hole at the end
                yield Ask(sftp_packets.FSETSTAT, handle, Attributes(size=status.st_size).packed())
            yield Ask(sftp_packets.CLOSE, handle)
            yield None
        finally:
            os.close(descriptor)

    def _put(self, place: bytes, wanted: Attributes, data: bytes) -> Ask:
        if self._meter:
            self._meter.add(len(data))
        name = sftp_packets.PUT_FILE.encode()
        return Ask(sftp_packets.EXTENDED, string(name), string(place), wanted.packed(), string(data))

    def _opened(self, place: bytes, wanted: Attributes) -> Job:
        """A handle to write with: of a file that is new, or is to be another. Owner and mode of an old one stay."""
        if self._is_ours:
            yield Ask(sftp_packets.EXTENDED, string(sftp_packets.WHOLE_FILE.encode()), string(place), wanted.packed())
            (opened,) = yield None
            return string(opened.fields.bytes())
        flags = sftp_packets.FOR_WRITING | sftp_packets.CREATING
        yield Ask(sftp_packets.OPEN, string(place), u32(flags | sftp_packets.EXCLUSIVE), wanted.packed(), lenient=True)
        (opened,) = yield None
        if opened.kind == sftp_packets.HANDLE:
            handle = string(opened.fields.bytes())
            # Go's server takes the fields of one request in another order than they have.
            yield Ask(sftp_packets.FSETSTAT, handle, Attributes(uid=wanted.uid, gid=wanted.gid).packed())
            yield Ask(sftp_packets.FSETSTAT, handle, Attributes(mode=wanted.mode).packed())
            return handle
        yield Ask(sftp_packets.OPEN, string(place), u32(flags | sftp_packets.TRUNCATING), Attributes().packed())
        (opened,) = yield None
        return string(opened.fields.bytes())


def make_directories(path: str) -> Job:
    """Create a directory and its parents, owned by the instance's root."""
    place = b""
    for part in os.fsencode(path).split(b"/"):
        if not part:
            continue
        place += b"/" + part
        yield Ask(sftp_packets.MKDIR, string(place), Attributes(mode=0o755).packed(), lenient=True)
        (made,) = yield None
        if made.code == sftp_packets.OK:
            continue
        yield Ask(sftp_packets.STAT, string(place), lenient=True)
        (found,) = yield None
        if found.code != sftp_packets.OK or not modes.S_ISDIR(found.fields.attributes().mode or 0):
            raise Refused(made)


def pieces(descriptor: int, status: os.stat_result) -> Iterator[tuple[int, bytes]]:
    """The content of a file with its places, its holes left out."""
    offset, is_sparse = 0, status.st_blocks * 512 < status.st_size
    while True:
        end = None
        if is_sparse:
            try:
                offset = os.lseek(descriptor, offset, os.SEEK_DATA)
                end = os.lseek(descriptor, offset, os.SEEK_HOLE)
            except OSError:  # nothing but a hole follows
                return
        while end is None or offset < end:
            data = os.pread(descriptor, PIECE if end is None else min(PIECE, end - offset), offset)
            if not data:
                return
            yield offset, data
            offset += len(data)


def _whole(descriptor: int, size: int) -> bytes | None:
    """All of a small file; None when it is not as large as it says, as those of the kernel are, or grows."""
    data = os.pread(descriptor, size + 1, 0)
    return data if len(data) == size else None


def total_size(sources: list[str]) -> int:
    """The bytes that are to be pushed."""
    total = 0
    for source in sources:
        if modes.S_ISREG(os.lstat(source).st_mode):
            total += os.lstat(source).st_size
        for folder, _, names in os.walk(source) if not os.path.islink(source) else ():  # noqa: PTH114
            for name in names:
                status = os.lstat(os.path.join(folder, name))  # noqa: PTH118
                total += status.st_size if modes.S_ISREG(status.st_mode) else 0
    return total


def _owned(status: os.stat_result) -> Attributes:
    return Attributes(uid=status.st_uid, gid=status.st_gid, mode=status.st_mode & 0o777)


def _first_name(answer: Answer) -> bytes:
    fields = answer.fields
    return fields.bytes() if fields.u32() else b""
