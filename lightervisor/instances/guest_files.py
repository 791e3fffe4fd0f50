"""Files below the root of an instance: blocking functions on descriptors, safe whatever the guest puts there.

Paths are resolved inside the root only. The daemon could do more than root inside may, and the guest decides where
its links lead (to /proc/sys, to a directory shared by the host), so what does not belong to the container's id map is
open to it only as far as it is to others: the rule the kernel has for root in a user namespace. What is made is made
as the container's root, as overlayfs refuses a creator without a place in the map.

Failures are OSError. Source: openat2(2), user_namespaces(7) "capabilities", LXD's file API.
"""

import errno
import os
import posixpath
import stat as modes
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple, TypeVar

from msgspec import Struct

from lightervisor.instances.guest_root import GuestRoot
from lightervisor.kernel import kernel_files, overlay, paths, syscalls
from lightervisor.kernel.idmap import IdMap, host_id
from lightervisor.kernel.whole_file import Place, WholeFile, can_replace, open_own

Kind = Literal["file", "directory", "symlink"]
Answer = TypeVar("Answer")
READ, WRITE, CHANGE = 0o4, 0o2, 0o3
SMALL = 4096
PSEUDO_PIECE, PSEUDO_LIMIT = 64 << 10, 16 << 20  # a sysctl has no memory for a larger piece
MOST_LINKS = 40
FILE_MODE, DIRECTORY_MODE = 0o644, 0o750


class Found(Struct, frozen=True, kw_only=True):
    """What is at a path: owner and mode as the instance sees them, and its content in the field of its kind.

    `descriptor` is a regular file open for reading (`size` bytes), -1 for other kinds and for HEAD; it is
    closed with the context that gave it. `target` is where a link points, as it is written. `modified_ns` is
    since the epoch.
    """

    kind: Kind
    uid: int
    gid: int
    mode: int
    modified_ns: int
    size: int = 0
    descriptor: int = -1
    names: list[str] = []
    target: str = ""


class Wanted(Struct, frozen=True, kw_only=True):
    """What a POST asks for: the X-LXD-* headers; owner and mode count only when the file is made."""

    kind: str = "file"
    uid: int = 0
    gid: int = 0
    mode: int | None = None
    is_append: bool = False


class Opened(NamedTuple):
    """A file open for writing; `whole` is one that appears when it is closed, None one that is written in place."""

    descriptor: int
    whole: WholeFile | None = None


# Reading


def look(guest: GuestRoot, path: str, *, head: bool) -> Found:
    """What is at a path, its last part not followed; a file is opened unless `head`."""
    handle = paths.open_beneath(guest.descriptor, path, os.O_PATH | os.O_NOFOLLOW)
    try:
        return _found(guest, handle, os.fstat(handle), head=head)
    finally:
        os.close(handle)


def _found(guest: GuestRoot, handle: int, status: os.stat_result, *, head: bool) -> Found:
    kind, size, descriptor, target = "file", 0, -1, ""
    names: list[str] = []
    if modes.S_ISDIR(status.st_mode):
        kind = "directory"
        if not head:
            names = _names(guest, handle, status)
    elif modes.S_ISLNK(status.st_mode):
        kind, target = "symlink", os.readlink("", dir_fd=handle)
    elif head:
        size = status.st_size
    else:
        descriptor = _open_to_read(guest, handle, status)
        size = os.fstat(descriptor).st_size
    return Found(
        kind=kind,
        uid=guest.idmap.to_guest(status.st_uid, "uid") if guest.idmap else status.st_uid,
        gid=guest.idmap.to_guest(status.st_gid, "gid") if guest.idmap else status.st_gid,
        mode=status.st_mode & 0o777,
        modified_ns=status.st_mtime_ns,
        size=size,
        descriptor=descriptor,
        names=names,
        target=target,
    )


def _names(guest: GuestRoot, handle: int, status: os.stat_result) -> list[str]:
    _check(guest.idmap, status, READ)
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    try:
        with os.scandir(directory) as entries:
            return [os.fsencode(entry.name).decode(errors="replace") for entry in entries]
    finally:
        os.close(directory)


def _open_to_read(guest: GuestRoot, handle: int, status: os.stat_result) -> int:
    """A descriptor with the content; files of the kernel, whose sizes are not true, are read at once."""
    if not modes.S_ISREG(status.st_mode):
        return os.memfd_create("device", os.MFD_CLOEXEC)
    _check(guest.idmap, status, READ)
    descriptor = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if status.st_size > SMALL:
        return descriptor
    try:
        text = os.read(descriptor, SMALL + 1)
        if len(text) == status.st_size:
            return os.dup(descriptor)
        while len(text) < PSEUDO_LIMIT and (more := os.read(descriptor, PSEUDO_PIECE)):
            text += more
    finally:
        os.close(descriptor)
    copy = os.memfd_create("content", os.MFD_CLOEXEC)
    write_all(copy, [text])
    return copy


# Writing


def open_to_write(guest: GuestRoot, path: str, wanted: Wanted) -> Opened:
    """Open a file for its new content, which replaces what is there when it is whole.

    Written in place are: what is appended to, what has other names or is mounted (a link leads to it, too), and what is
    in a directory that root inside may not change.
    """
    try:
        handle = paths.open_beneath(guest.descriptor, path, os.O_PATH)
    except FileNotFoundError:
        if wanted.is_append:
            raise
        return _make_file(guest, path, wanted)
    try:
        status = os.fstat(handle)
        if modes.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not modes.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        _check(guest.idmap, status, WRITE)
        if guest.idmap is None:
            kernel_files.refuse(handle)
        if not wanted.is_append and (whole := _replacement(guest, path, handle)) is not None:
            return Opened(whole.descriptor, whole)
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_APPEND if wanted.is_append else os.O_TRUNC)
        return Opened(as_root(guest, lambda: os.open(f"/proc/self/fd/{handle}", flags)))
    finally:
        os.close(handle)


def _make_file(guest: GuestRoot, path: str, wanted: Wanted) -> Opened:
    if path.endswith("/"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    uid, gid = _host_ids(guest.idmap, wanted)
    parent, name = _open_parent(guest, _end_of_links(guest, path))
    try:
        whole = as_root(guest, lambda: WholeFile(Place(parent, name, _own())))
    finally:
        os.close(parent)
    try:
        os.fchown(whole.descriptor, uid, gid)
        os.fchmod(whole.descriptor, FILE_MODE if wanted.mode is None else wanted.mode & 0o7777)
    except BaseException:
        whole.abandon()
        raise
    return Opened(whole.descriptor, whole)


def _replacement(guest: GuestRoot, path: str, handle: int) -> WholeFile | None:
    """The beginning of what is to replace a file, which is open by O_PATH; None when it cannot be replaced."""
    try:
        parent, name = _open_parent(guest, path)
    except OSError:
        return None
    try:
        place = Place(parent, name, _own())
        if not can_replace(place, handle):
            return None
        whole = as_root(guest, lambda: WholeFile(place))
    finally:
        os.close(parent)
    try:
        whole.be_like(handle)
    except BaseException:
        whole.abandon()
        raise
    return whole


@cache
def _own() -> int:
    return open_own()


def _end_of_links(guest: GuestRoot, path: str) -> str:
    """Where a path whose links lead to nothing would be made."""
    for _ in range(MOST_LINKS):
        try:
            target = paths.readlink(guest.descriptor, path)
        except OSError:
            return path
        path = posixpath.join(posixpath.dirname(path), target)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def write_all(descriptor: int, blocks: list[bytes]) -> None:
    """Write blocks one after the other, held by the instance's quota, which the daemon's own root is not."""
    with syscalls.WithoutCapability(syscalls.CAP_SYS_RESOURCE):
        for block in blocks:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def close(guest: GuestRoot, opened: Opened, *, is_complete: bool) -> None:
    """End of writing; what did not come whole does not appear."""
    if opened.whole is None:
        os.close(opened.descriptor)
    elif is_complete:
        as_root(guest, opened.whole.finish)
    else:
        opened.whole.abandon()


def make_directory(guest: GuestRoot, path: str, wanted: Wanted) -> bool:
    """Make a directory; false when something is there already."""
    if paths.exists(guest.descriptor, path, follow=True):
        return False
    uid, gid = _host_ids(guest.idmap, wanted)
    parent, name = _open_parent(guest, path)
    try:
        as_root(guest, lambda: os.mkdir(name, 0o700, dir_fd=parent))
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchown(made, uid, gid)
            os.fchmod(made, DIRECTORY_MODE if wanted.mode is None else wanted.mode & 0o7777)
        finally:
            os.close(made)
    finally:
        os.close(parent)
    return True


def make_link(guest: GuestRoot, path: str, target: str, wanted: Wanted) -> bool:
    """Make a link; false when it is there already with this target."""
    parent, name = _open_parent(guest, path)
    try:
        if _points_to(parent, name) == target:
            return False
        uid, gid = _host_ids(guest.idmap, wanted)
        as_root(guest, lambda: os.symlink(target, name, dir_fd=parent))
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)
    return True


def _points_to(parent: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError:
        return None


def remove(guest: GuestRoot, path: str) -> None:
    """Remove a file, a link or an empty directory, but none on which something is mounted inside.

    The kernel protects mounts of our own namespace only: those of others go with what they are on.
    """
    if not path.strip("/"):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
    parent, name = _open_parent(guest, path)
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if syscalls.is_mount_root(name, directory=parent):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        if modes.S_ISDIR(status.st_mode):
            as_root(guest, lambda: os.rmdir(name, dir_fd=parent))
        elif path.endswith("/"):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        else:
            as_root(guest, lambda: os.unlink(name, dir_fd=parent))
    finally:
        os.close(parent)


# Who may


def _open_parent(guest: GuestRoot, path: str) -> tuple[int, str]:
    """The directory of a path's last part, checked to be one that root inside may change."""
    parent, name = paths.open_parent(guest.descriptor, path)
    try:
        _check(guest.idmap, os.fstat(parent), CHANGE)
    except BaseException:
        os.close(parent)
        raise
    return parent, name


def _check(idmap: IdMap | None, status: os.stat_result, wanted: int) -> None:
    """Raise PermissionError for what root inside may not do."""
    if idmap is None or (_has(idmap, status.st_uid, "uid") and _has(idmap, status.st_gid, "gid")):
        return
    if status.st_mode & wanted != wanted:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _has(idmap: IdMap, host: int, kind: Literal["uid", "gid"]) -> bool:
    return any(r.kind in ("both", kind) and r.host <= host < r.host + r.count for r in idmap.ranges)


def _host_ids(idmap: IdMap | None, wanted: Wanted) -> tuple[int, int]:
    return host_id(idmap, wanted.uid, "uid"), host_id(idmap, wanted.gid, "gid")


def as_root(guest: GuestRoot, work: Callable[[], Answer]) -> Answer:
    """Do something as the container's root. Raises what the work raises."""
    if guest.idmap is None:
        return work()
    answers: list[Answer] = []
    overlay.run_as(guest.idmap.host_root, guest.idmap.host_root_gid, lambda: answers.append(work()))
    return answers[0]
