"""Copies of directory trees that somebody writes to meanwhile: a program of its own, with the standard library alone.

    main([SOURCE, TARGET, …])

It copies, and copies again what has changed since, until that is little; then it says "ready" and waits for a line: by
then whoever writes is held still. After a last pass the targets are what the sources are at that moment, and it says
"done". How long somebody is held still depends on what changed in the last pass, not on the size of the trees.

Nothing is opened by a path: a guest that swaps directories for links leads nowhere. Owners, modes, times, links, holes,
devices and attributes are kept; what is mounted in a source is not looked at. Source: ioctl_ficlone(2), lseek(2).
"""

import ctypes
import errno
import fcntl
import os
import stat
import sys
import time

_CLONE = 0x40049409
_WAIT_BEFORE_WRITE_WAIT_AFTER = 0x7
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_QUIET_NS = 2_000_000_000
"""A file that changed so recently may change again without showing it: clocks of file systems are coarse, and a long
write, or one that waits for the disk, sets the times when it begins."""
_IN_MEMORY = (0x01021994, 0x858458F6)
"""File systems (tmpfs, ramfs) that never write out, so that stores to a mapping do not show. Source: linux/magic.h."""
_BLOCK = 8 << 20
_PASSES, _SHORT_S = 4, 0.2
_GONE = (errno.ENOENT, errno.ESTALE, errno.ELOOP, errno.ENXIO, errno.ENOTDIR)
Seen = tuple[int, int, int]


class Tree:
    """One tree and its copy.

    `seen` are inode, time of change and size of what was copied when it was at rest, where another change would show.
    Of files with several names, `links` is the first of each in this pass, and `copied` those that are new files.
    """

    def __init__(self, source: bytes, target: bytes) -> None:
        self._source = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:  # noqa: SIM105 - contextlib takes a third of the program's start
            os.mkdir(target, 0o700)  # noqa: PTH102 - bytes
        except FileExistsError:
            pass
        self._target = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._device = os.fstat(self._source).st_dev
        self._is_in_memory = _type(self._source) in _IN_MEMORY
        self._seen: dict[bytes, Seen] = {}
        self._links: dict[int, bytes] = {}
        self._copied: set[bytes] = set()
        self._is_still = False

    def bring_up_to_date(self, *, is_still: bool) -> None:
        """Make the copy what the source is now, as far as that does not change meanwhile. Raises OSError."""
        self._links.clear()
        self._copied.clear()
        self._is_still = is_still
        self._directory(self._source, self._target, b"")

    def _directory(self, source: int, target: int, path: bytes) -> None:
        there, here = os.listdir(source), set(os.listdir(target))
        for name in here.difference(there):
            _remove(target, os.fsencode(name))
        for name in there:
            entry = os.fsencode(name)
            try:
                self._entry(source, target, path, entry, is_here=name in here)
            except OSError as error:
                # It went or became something else since it was listed: the next pass sees that.
                if self._is_still or error.errno not in _GONE:
                    raise
        _describe(source, target, os.fstat(source))

    def _entry(self, source: int, target: int, path: bytes, name: bytes, *, is_here: bool) -> None:
        begun, place = time.time_ns(), path + b"/" + name
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        if found.st_dev != self._device:
            return
        if stat.S_ISDIR(found.st_mode):
            self._folder(source, target, place, name, is_here=is_here)
            return
        identity = (found.st_ino, found.st_ctime_ns, found.st_size)
        first = self._links.get(found.st_ino) if found.st_nlink > 1 else None
        if is_here and self._seen.get(place) == identity and first not in self._copied:
            if found.st_nlink > 1:
                self._links.setdefault(found.st_ino, place)
            return
        if is_here:
            _remove(target, name)
        self._seen.pop(place, None)
        if first is not None:
            shows = self._seen.get(first) == identity
            os.link(first[1:], name, src_dir_fd=self._target, dst_dir_fd=target, follow_symlinks=False)
        else:
            shows = _copy(source, target, name, found, is_still=self._is_still)
            if found.st_nlink > 1:
                self._links[found.st_ino] = place
                self._copied.add(place)
        shows &= not (self._is_in_memory and stat.S_ISREG(found.st_mode))
        if shows and begun - found.st_ctime_ns > _QUIET_NS:
            self._seen[place] = identity

    def _folder(self, source: int, target: int, path: bytes, name: bytes, *, is_here: bool) -> None:
        opened = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=source)
        try:
            if is_here and not stat.S_ISDIR(os.stat(name, dir_fd=target, follow_symlinks=False).st_mode):
                _remove(target, name)
                is_here = False
            if not is_here:
                os.mkdir(name, 0o700, dir_fd=target)
            copy = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=target)
            try:
                self._directory(opened, copy, path)
            finally:
                os.close(copy)
        finally:
            os.close(opened)


def _copy(source: int, target: int, name: bytes, found: os.stat_result, *, is_still: bool) -> bool:
    """Whether what changes in it from now on shows in its times."""
    if stat.S_ISREG(found.st_mode):
        return _copy_file(source, target, name, is_still=is_still)
    copy_special(source, target, name, found)
    return True


def copy_special(source: int, target: int, name: bytes, found: os.stat_result) -> None:
    """Copy a link, device, pipe or socket that was `found`, from one open directory to another. Raises OSError."""
    mode = found.st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, stat.S_IFMT(mode) | 0o600, found.st_rdev, dir_fd=target)
    os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(mode):
        os.chmod(_path(target, name), stat.S_IMODE(mode))  # noqa: PTH101 - bytes
    _copy_attributes(_path(source, name), _path(target, name))
    os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _copy_file(source: int, target: int, name: bytes, *, is_still: bool) -> bool:
    opened = os.open(name, _OPEN | os.O_NOATIME, dir_fd=source)
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ESTALE, "it is no file any more")
        shows = is_still or _write_out(opened)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        copy = os.open(name, flags, 0o600, dir_fd=target)
        try:
            _copy_content(opened, copy, found.st_size)
            _describe(opened, copy, found)
            return shows
        finally:
            os.close(copy)
    finally:
        os.close(opened)


def _write_out(file: int) -> bool:
    """Have what is written to a mapping of a file from now on show in its times, as it does in pages that are clean.

    False where that cannot be. Source: sync_file_range(2); the kernel's page_mkclean.
    """
    zero = ctypes.c_int64(0)
    return ctypes.CDLL(None).sync_file_range(file, zero, zero, ctypes.c_uint(_WAIT_BEFORE_WRITE_WAIT_AFTER)) == 0


def _type(descriptor: int) -> int:
    """The kernel's number for the type of a file system, 0 when it does not tell. Source: statfs(2)."""
    buffer = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None).fstatfs(descriptor, buffer):
        return 0
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def _copy_content(source: int, target: int, size: int) -> None:
    if not size:
        return
    try:
        fcntl.ioctl(target, _CLONE, source)
        return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM):
            raise
    place = 0
    while place < size:
        try:
            place = os.lseek(source, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # nothing but a hole is left
        end = min(os.lseek(source, place, os.SEEK_HOLE), size)
        place = _copy_range(source, target, place, end)
    os.ftruncate(target, size)


def _copy_range(source: int, target: int, place: int, end: int) -> int:
    """Copy from a place up to an end; where the file ends before it, that is the end."""
    while place < end:
        count = min(end - place, _BLOCK)
        try:
            copied = os.copy_file_range(source, target, count, place, place)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            copied = os.pwrite(target, os.pread(source, count, place), place)
        if not copied:
            return end
        place += copied
    return place


def _describe(source: int, target: int, found: os.stat_result) -> None:
    """Owner, mode, attributes and times of an open file or directory; the mode after the owner, which changes it."""
    os.fchown(target, found.st_uid, found.st_gid)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    _copy_attributes(source, target)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _copy_attributes(source: int | bytes, target: int | bytes) -> None:
    wanted = _attributes(source)
    present = _attributes(target)
    for name in present.keys() - wanted.keys():
        os.removexattr(target, name, **_links(target))
    for name, value in wanted.items():
        if present.get(name) != value:
            os.setxattr(target, name, value, **_links(target))


def _attributes(place: int | bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        names = os.listxattr(place, **_links(place))
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return found
        raise
    for name in names:
        try:
            found[name] = os.getxattr(place, name, **_links(place))
        except OSError:  # it went
            continue
    return found


def _links(place: int | bytes) -> "dict[str, bool]":
    """A descriptor takes no word about links."""
    return {} if isinstance(place, int) else {"follow_symlinks": False}


def _path(directory: int, name: bytes) -> bytes:
    """The one way to name a link or a device to calls that take paths only; its last part is not followed."""
    return b"/proc/self/fd/%d/%s" % (directory, name)


def _remove(directory: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        opened = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=directory)
        try:
            for entry in os.listdir(opened):  # noqa: PTH208 - a descriptor
                _remove(opened, os.fsencode(entry))
        finally:
            os.close(opened)
        os.rmdir(name, dir_fd=directory)


def main(arguments: list[bytes]) -> int:
    """Copy; the exit status. What failed is said on standard error."""
    sys.setrecursionlimit(20_000)
    try:
        trees = [Tree(source, target) for source, target in zip(arguments[::2], arguments[1::2], strict=True)]
        for _ in range(_PASSES):
            begun = time.monotonic()
            for tree in trees:
                tree.bring_up_to_date(is_still=False)
            if time.monotonic() - begun < _SHORT_S:
                break
        os.write(1, b"ready\n")
        if os.read(0, 64) != b"go\n":
            return 2
        for tree in trees:
            tree.bring_up_to_date(is_still=True)
        os.write(1, b"done\n")
    except (OSError, RecursionError) as error:
        said = error.strerror if isinstance(error, OSError) else "directories are too deep"
        sys.stderr.write(f"copying failed: {said}\n")
        return 1
    return 0
