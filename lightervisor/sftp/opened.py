"""What a session has open: files, files that are to appear when they are whole, directories.

Every path is one of the guest's, and the calling process is inside (see `process`): the kernel says what may be done.
Failures are OSError. Standard library only.
"""

from __future__ import annotations

import errno
import os
import stat as modes
import time
from contextlib import suppress

from lightervisor.client import sftp_packets as sftp
from lightervisor.client.sftp_packets import Attributes
from lightervisor.kernel import kernel_files
from lightervisor.kernel.whole_file import Place, WholeFile, can_replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Opened(Protocol):
        """What a handle stands for."""

        def close(self) -> None:
            """End of use. Raises OSError when something that was to be kept could not be."""
            ...

        def drop(self) -> None:
            """The session has ended without a close."""
            ...


ENTRIES = 128
"""How many a directory's packet has at most: a name and a line for each, 1 KiB with the longest names."""
FILE_MODE = 0o644
_LINKS = 40  # the kernel's own limit


class OpenFile:
    """A regular file."""

    def __init__(self, descriptor: int, *, is_appending: bool = False) -> None:
        self.descriptor, self._is_appending = descriptor, is_appending

    def read(self, offset: int, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        return os.pread(self.descriptor, size, offset)

    def write(self, offset: int, data: bytes) -> None:
        """All of it. A file that is appended to takes it at its end."""
        while data:
            data = data[
                os.write(self.descriptor, data) if self._is_appending else os.pwrite(self.descriptor, data, offset) :
            ]

    def close(self) -> None:
        """End of use."""
        os.close(self.descriptor)

    drop = close


class OpenWhole(OpenFile):
    """A file that appears when it is closed, if nothing went wrong before."""

    def __init__(self, whole: WholeFile) -> None:
        super().__init__(whole.descriptor)
        self._whole = whole
        self._failure: OSError | None = None

    def write(self, offset: int, data: bytes) -> None:
        """All of it, at its place, and zeros before that."""
        at = offset
        try:
            while data:
                written = os.pwrite(self.descriptor, data, at)
                data, at = data[written:], at + written
        except OSError as error:
            self._failure = error
            raise

    def close(self) -> None:
        """Let it appear."""
        if self._failure is not None:
            self._whole.abandon()
            raise self._failure
        self._whole.finish()

    def drop(self) -> None:
        """Leave nothing of it."""
        self._whole.abandon()


class OpenDirectory:
    """A directory that is being listed."""

    def __init__(self, path: bytes) -> None:
        self._directory = os.open(path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._entries = os.scandir(self._directory)
        except BaseException:
            os.close(self._directory)
            raise

    def next(self) -> list[bytes]:
        """The next entries, each as the fields of a packet; none at the end."""
        found: list[bytes] = []
        for entry in self._entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # somebody removed it meanwhile
                continue
            name = os.fsencode(entry.name)
            found.append(sftp.string(name) + sftp.string(line(name, status)) + sftp.attributes_of(status).packed())
            if len(found) == ENTRIES:
                break
        return found

    def close(self) -> None:
        """End of use."""
        self._entries.close()
        os.close(self._directory)

    drop = close


def line(name: bytes, status: os.stat_result) -> bytes:
    """An entry as `ls -l` shows it, for people."""
    when = time.strftime("%b %d  %Y", time.gmtime(min(max(status.st_mtime, 0), 1 << 35)))
    head = (
        f"{modes.filemode(status.st_mode)} {status.st_nlink:4} {status.st_uid:8} {status.st_gid:8} {status.st_size:8}"
    )
    return f"{head} {when} ".encode() + name


class Opener:
    """Opens what a session asks for; `own` is /proc/self/fd.

    With `is_host_root` the kernel takes this process for the host's root, as in a privileged guest: then files of the
    kernel are not written.
    """

    def __init__(self, own: int, *, is_host_root: bool = False) -> None:
        self._own, self._is_host_root = own, is_host_root

    def file(self, path: bytes, wanted: int, attributes: Attributes) -> OpenFile:
        """A file, by the flags of OPEN. Raises OSError EINVAL for devices, pipes and sockets: nobody waits for them."""
        flags = os.O_RDONLY
        if wanted & (sftp.FOR_WRITING | sftp.APPENDING):
            flags = os.O_RDWR if wanted & sftp.FOR_READING else os.O_WRONLY
        appends = bool(wanted & sftp.APPENDING)
        flags |= (os.O_APPEND if appends else 0) | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        for _ in range(_LINKS):
            try:
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
                break
            except FileNotFoundError:
                if not wanted & sftp.CREATING:
                    raise
            try:
                return OpenFile(self._made(path, flags, attributes), is_appending=appends)
            except FileExistsError:  # a link to where nothing is, or somebody has put something there
                if wanted & sftp.EXCLUSIVE:
                    raise
                path = _followed(path)
        else:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        try:
            if wanted & sftp.CREATING and wanted & sftp.EXCLUSIVE:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            status = os.fstat(handle)
            if flags & os.O_ACCMODE:
                check_regular(status)
                self._check_ordinary(handle)
            elif not modes.S_ISDIR(status.st_mode):  # a directory can be opened, as with Go's server, and not read
                check_regular(status)
            flags |= os.O_TRUNC if wanted & sftp.TRUNCATING else 0
            return OpenFile(os.open(str(handle), flags, dir_fd=self._own), is_appending=appends)
        finally:
            os.close(handle)

    def whole(self, path: bytes, attributes: Attributes) -> OpenFile:
        """A file that appears when it is closed.

        One that is there keeps its owner and mode. If it has other names, something is mounted on it, or a link leads
        to it, it is emptied and written in place.
        """
        head, _, name = path.rpartition(b"/")
        if name in (b"", b".", b".."):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        directory = os.open(head or (b"/" if path[:1] == b"/" else b"."), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        handle = -1
        try:
            place = Place(directory, name, self._own)
            with suppress(FileNotFoundError):
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
                check_regular(os.fstat(handle))
                self._check_ordinary(handle)
            if _is_link(place) if handle < 0 else not can_replace(place, handle):
                return self.file(path, sftp.FOR_WRITING | sftp.CREATING | sftp.TRUNCATING, attributes)
            return OpenWhole(_begun(place, handle, attributes))
        finally:
            os.close(directory)
            if handle >= 0:
                os.close(handle)

    def _made(self, path: bytes, flags: int, attributes: Attributes) -> int:
        """A new file. What is there already is not opened unseen: FileExistsError."""
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self._check_ordinary(descriptor)
            _dress(descriptor, attributes)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _check_ordinary(self, handle: int) -> None:
        if self._is_host_root:
            kernel_files.refuse(handle)


def _is_link(place: Place) -> bool:
    try:
        return modes.S_ISLNK(os.stat(place.name, dir_fd=place.directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _begun(place: Place, handle: int, attributes: Attributes) -> WholeFile:
    whole = WholeFile(place)
    try:
        if handle >= 0:
            whole.be_like(handle)
        else:
            _dress(whole.descriptor, attributes)
    except BaseException:
        whole.abandon()
        raise
    return whole


def _followed(path: bytes) -> bytes:
    """Where a link leads; the path itself if it is none, or no more."""
    try:
        target = os.readlink(path)  # noqa: PTH115 - bytes
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return path
    head, slash, _ = path.rpartition(b"/")
    return target if target[:1] == b"/" else head + slash + target


def _dress(descriptor: int, attributes: Attributes) -> None:
    """Owner and mode of a new file."""
    if attributes.uid is not None and attributes.gid is not None:
        os.fchown(descriptor, attributes.uid, attributes.gid)
    os.fchmod(descriptor, FILE_MODE if attributes.mode is None else modes.S_IMODE(attributes.mode))


def check_regular(status: os.stat_result) -> None:
    """Raise OSError for what is no regular file."""
    if modes.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not modes.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
