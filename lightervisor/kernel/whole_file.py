"""Files in directories of guests that appear under their names when all is written, and not at all otherwise.

Where the file system can, they have no name until then (O_TMPFILE): a writer that is killed leaves nothing. Failures
are OSError. Source: open(2), linkat(2), rename(2).
"""

import errno
import os
import stat as modes
from binascii import crc32
from contextlib import suppress

from lightervisor.kernel import syscalls

NAMELESS = ".lightervisor-{0}"  # where a file system wants a name
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOSYS)
_NOT_COPIED = ("security.capability", "security.ima", "security.evm")  # of the content that was there


class Place:
    """Where a file is to be: a directory and a name in it.

    `own` is /proc/self/fd, open: it is not where it should be for those who are inside a guest.
    """

    __slots__ = ("directory", "name", "own")  # no NamedTuple: `typing` is too large for the processes of sessions

    def __init__(self, directory: int, name: str | bytes, own: int) -> None:
        self.directory, self.name, self.own = directory, name, own

    def link_of(self, descriptor: int) -> "tuple[str, int]":
        """The magic link of a descriptor, as a path and the directory that it is relative to."""
        return str(descriptor), self.own


def open_own() -> int:
    """/proc/self/fd of this process: the caller's to close."""
    return os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def can_replace(place: Place, handle: int) -> bool:
    """Whether a file, open by O_PATH, can be replaced at this place: it has this name alone, and nothing lies on it."""
    found = os.fstat(handle)
    if not modes.S_ISREG(found.st_mode) or found.st_nlink != 1:
        return False
    with suppress(OSError):
        named = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
        if (named.st_dev, named.st_ino) == (found.st_dev, found.st_ino):
            return not syscalls.is_mount_root(place.name, directory=place.directory)
    return False


class WholeFile:
    """A file that is being written through `descriptor`; ends with `finish` or `abandon`, once."""

    def __init__(self, place: Place) -> None:
        """Begin one, of mode 0600. The place's directory is the caller's to close; it is not needed any more."""
        self._beside, flags = "", os.O_WRONLY | os.O_CLOEXEC
        try:
            self.descriptor = os.open(".", flags | os.O_TMPFILE, 0o600, dir_fd=place.directory)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            self._beside = _new_name()
            flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self.descriptor = os.open(self._beside, flags, 0o600, dir_fd=place.directory)
        self._place = Place(os.dup(place.directory), place.name, place.own)

    def be_like(self, handle: int) -> None:
        """Take owner, mode and attributes of the file that is to be replaced, which is open by O_PATH."""
        found = os.fstat(handle)
        path, own = self._place.link_of(handle)
        os.fchown(self.descriptor, found.st_uid, found.st_gid)
        os.fchmod(self.descriptor, modes.S_IMODE(found.st_mode))
        with suppress(OSError):  # what this file system or this caller cannot read or set stays as it is
            source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=own)
            try:
                for name in os.listxattr(source):
                    if name not in _NOT_COPIED:
                        with suppress(OSError):
                            os.setxattr(self.descriptor, name, os.getxattr(source, name))
            finally:
                os.close(source)

    def finish(self) -> None:
        """Let the file appear in place of what has its name. When that fails nothing is left of it."""
        try:
            if not self._beside:
                try:
                    self._link(self._place.name)
                except FileExistsError:
                    self._link_beside()
            if self._beside:
                directory = self._place.directory
                # Gone when somebody who writes the same has put this one in its place, after theirs.
                with suppress(FileNotFoundError):
                    os.rename(self._beside, self._place.name, src_dir_fd=directory, dst_dir_fd=directory)
                self._beside = ""
        finally:
            self.abandon()

    def _link_beside(self) -> None:
        """Give it the name that it has for a moment: always the same one, so that what a killed writer left goes."""
        beside = NAMELESS.format(f"{crc32(os.fsencode(self._place.name)):08x}")
        try:
            self._link(beside)
        except FileExistsError:
            with suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=self._place.directory)
            self._link(beside)
        self._beside = beside

    def _link(self, name: str | bytes) -> None:
        path, own = self._place.link_of(self.descriptor)
        os.link(path, name, src_dir_fd=own, dst_dir_fd=self._place.directory, follow_symlinks=True)

    def abandon(self) -> None:
        """Drop what was written."""
        os.close(self.descriptor)
        try:
            if self._beside:
                with suppress(FileNotFoundError):
                    os.unlink(self._beside, dir_fd=self._place.directory)
        finally:
            os.close(self._place.directory)


def _new_name() -> str:
    return NAMELESS.format(os.urandom(8).hex())
