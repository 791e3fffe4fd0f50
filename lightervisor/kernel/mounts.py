"""Mounts: id-mapped trees and overlays of them, made so that files on disk keep plain owners.

Source: mount_setattr(2), Documentation/filesystems/overlayfs.rst. An overlay remembers its mounter's identity
and creates files with it, so it is mounted on a thread whose file-system ids are the container's root.
"""

import errno
import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from lightervisor.errors import HostError
from lightervisor.kernel import syscalls, userns
from lightervisor.kernel.idmap import IdMap

Answer = TypeVar("Answer")


def is_mounted(path: Path) -> bool:
    """Whether a path is a mount point, also of a bind mount on the same file system."""
    try:
        return _mount_id(path) != _mount_id(path.parent)
    except FileNotFoundError:
        return False


def _mount_id(path: Path) -> str:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    finally:
        os.close(descriptor)
    return next(line.split()[1] for line in facts.splitlines() if line.startswith("mnt_id:"))


def unmount(path: Path) -> None:
    """Detach whatever is mounted at a path, however often; nothing happens when nothing is."""
    while True:
        try:
            syscalls.umount(os.fsencode(path), syscalls.MNT_DETACH)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise HostError("mount", str(path), cause=f"cannot be unmounted: {error.strerror}") from error


def bind(source: Path, target: Path, idmap: IdMap | None) -> None:
    """Mount a directory at another place, id-mapped when a map is given. Raises HostError."""
    with _told(f"mount {source}"), _tree(source, idmap) as tree:
        syscalls.attach(tree, os.fsencode(target))


def overlay(lowers: Sequence[Path], writable: Path, target: Path, idmap: IdMap | None) -> None:
    """Mount an overlay of lower directories, the topmost first, with `writable`/{upper,work} on top.

    Raises HostError, also when the kernel made it read-only.
    """

    def mount() -> None:
        with _told(f"overlay on {target}"):
            _overlay(lowers, writable, target, idmap)

    run_as(idmap, mount)
    if os.statvfs(target).f_flag & os.ST_RDONLY:
        unmount(target)
        raise HostError("overlay", str(target), cause="the kernel made it read-only: its id map has no root")


def run_as(idmap: IdMap | None, action: Callable[[], Answer]) -> Answer:
    """Do something on a thread that makes files as root of the map; the thread ends with it."""
    answers: list[Answer] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            if idmap is not None:
                syscalls.become_for_files(idmap.host_root, idmap.host_root_gid)
            answers.append(action())
        except BaseException as error:  # noqa: BLE001  # handed to the caller's thread
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


def _overlay(lowers: Sequence[Path], writable: Path, target: Path, idmap: IdMap | None) -> None:
    with ExitStack() as stack:
        context = syscalls.fsopen(b"overlay")
        stack.callback(os.close, context)
        try:
            for lower in lowers:
                tree = stack.enter_context(_tree(lower, idmap))
                syscalls.fsconfig(context, syscalls.SET_FD, b"lowerdir+", None, tree)
            top = stack.enter_context(_tree(writable, idmap))
            for option, name in ((b"upperdir", "upper"), (b"workdir", "work")):
                directory = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top)
                stack.callback(os.close, directory)
                syscalls.fsconfig(context, syscalls.SET_FD, option, None, directory)
            for option, value in ((b"redirect_dir", b"on"), (b"index", b"off"), (b"metacopy", b"off")):
                syscalls.fsconfig(context, syscalls.SET_STRING, option, value)
            syscalls.fsconfig(context, syscalls.CMD_CREATE)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror} {_said(context)}".strip()) from error
        mounted = syscalls.fsmount(context)
        stack.callback(os.close, mounted)
        syscalls.attach(mounted, os.fsencode(target))


def _said(context: int) -> str:
    """What the kernel noted in a file system's context."""
    os.set_blocking(context, False)
    try:
        return os.read(context, 4096).decode(errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def _tree(path: Path, idmap: IdMap | None) -> Generator[int, None, None]:
    tree = syscalls.open_tree(os.fsencode(path), 0)
    try:
        if idmap is not None:
            syscalls.set_idmap(tree, userns.namespace_of(idmap))
        yield tree
    finally:
        os.close(tree)


@contextmanager
def _told(what: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise HostError(what, cause=f"the kernel refused: {error.strerror or error}") from error
