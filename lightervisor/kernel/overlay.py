"""Overlay mounts whose layers keep plain owners on disk and are shown with an id map.

Every layer is brought in through an id-mapped mount. overlayfs creates files as whoever mounted it, and the host's
root has no place in the container's map: with an upper layer that is id-mapped it could not even make its work
directory, and the kernel then mounts read-only without a word. So the mount is made by a thread of its own whose
file system identity is the container's root, with all capabilities kept; the identity is the thread's alone and ends
with it. From Linux 6.13 layers are handed over as descriptors and are never seen in the mount table; before, they are
attached to scratch directories for the moment. Source: Documentation/filesystems/overlayfs.rst, idmappings.rst.
"""

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from lightervisor.errors import HostError
from lightervisor.kernel import mounts, syscalls
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.userns import namespace_of

# redirect_dir: a directory of a lower layer can be renamed. index off: layers can be copied and moved offline.
# metacopy off: a lower layer never grants what a container wrote into an upper one.
OPTIONS = {"redirect_dir": "on", "index": "off", "metacopy": "off"}
SOURCE = "lightervisor"


class Layers(Struct, frozen=True, kw_only=True):
    """What an overlay is made of: read-only trees, uppermost first, and a directory with `upper` and `work` in it.

    Without `top` nothing can be written; there must be two trees then.
    """

    lowers: Sequence[Path]
    top: Path | None = None


def mount(layers: Layers, target: Path, idmap: IdMap | None, *, scratch: Path) -> None:
    """Mount an overlay, writable if it has a top, and seen with the owners of an id map (or plain ones).

    `scratch` is a directory for the moment's mounts on kernels before 6.13. Raises HostError quoting the kernel.
    """
    try:
        namespace = namespace_of(idmap) if idmap else None
        owner = (idmap.host_root, idmap.host_root_gid) if idmap else (0, 0)
        run_as(*owner, lambda: _make(layers, target, namespace, scratch))
    except OSError as error:
        raise HostError("overlay mount", str(target), cause=error.strerror or str(error)) from error


def run_as(uid: int, gid: int, work: Callable[[], None]) -> None:
    """Do something with another identity for files on a thread that ends with it. Raises what the work raises.

    It keeps all capabilities but the one that quotas and the space reserved for root do not hold: what is written
    through an overlay is written as whoever mounted it.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            syscalls.act_as(uid, gid)
            syscalls.give_up_capability(syscalls.CAP_SYS_RESOURCE)
            work()
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread, which raises it
            failures.append(error)

    thread = threading.Thread(target=run, name="other-identity")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _make(layers: Layers, target: Path, namespace: int | None, scratch: Path) -> None:
    context = syscalls.fsopen("overlay")
    try:
        with ExitStack() as stack:
            try:
                with contextlib.suppress(ByPathOnly):
                    configure(context, layers, namespace, stack)
                    _attach(context, target, is_writable=layers.top is not None)
                    return
            except OSError as error:
                raise OSError(error.errno, f"{error.strerror}{_complaints(context)}") from error
    finally:
        os.close(context)
    _make_by_paths(layers, target, namespace, scratch)


class ByPathOnly(Exception):
    """No error: this kernel takes layers by path only, as it is older than 6.13."""


def configure(context: int, layers: Layers, namespace: int | None, stack: ExitStack) -> None:
    """Hand the layers over by descriptor. Raises OSError, or ByPathOnly where the kernel does not take them so."""
    syscalls.fsconfig_string(context, "source", SOURCE)
    for tree in [_tree(lower, namespace, stack) for lower in layers.lowers]:
        try:
            syscalls.fsconfig_descriptor(context, "lowerdir+", tree)
        except OSError as error:
            # Takes strings only, or does not know the option, or does not know descriptors at all.
            if error.errno in (errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP):
                raise ByPathOnly from error
            raise
    if layers.top is not None:
        top = _tree(layers.top, namespace, stack)
        for option, name in (("upperdir", "upper"), ("workdir", "work")):
            directory = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            stack.callback(os.close, directory)
            syscalls.fsconfig_descriptor(context, option, directory)
    for option, value in OPTIONS.items():
        syscalls.fsconfig_string(context, option, value)
    syscalls.fsconfig_create(context)


def _tree(path: Path, namespace: int | None, stack: ExitStack) -> int:
    tree = syscalls.open_tree(path) if namespace is None else mounts.idmapped_tree(path, namespace)
    stack.callback(os.close, tree)
    return tree


def _attach(context: int, target: Path, *, is_writable: bool) -> None:
    mounted = syscalls.fsmount(context)
    try:
        if is_writable and os.fstatvfs(mounted).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, "the kernel mounted it read-only: it cannot write to the upper layer")
        syscalls.move_mount(mounted, target)
    finally:
        os.close(mounted)


def _complaints(context: int) -> str:
    """What the kernel says about a file system that it refused to make; the log is read line by line."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        while line := os.read(context, 4096):
            lines.append(line.decode(errors="replace").strip())
    return " (" + "; ".join(lines) + ")" if lines else ""


def _make_by_paths(layers: Layers, target: Path, namespace: int | None, scratch: Path) -> None:
    with _scratch(scratch) as folder, ExitStack() as stack:
        places: list[str] = []
        trees = list(layers.lowers) if layers.top is None else [*layers.lowers, layers.top]
        for number, path in enumerate(trees):
            place = folder / str(number)
            place.mkdir()
            tree = _tree(path, namespace, stack)
            syscalls.move_mount(tree, place)
            stack.callback(mounts.umount, place, lazy=True)
            places.append(str(place))
        lowers = places[: len(layers.lowers)]
        options = {"lowerdir": ":".join(lowers)} if lowers else {}
        if layers.top:
            options |= {"upperdir": f"{places[-1]}/upper", "workdir": f"{places[-1]}/work"}
        options |= OPTIONS
        data = ",".join(f"{key}={value}" for key, value in options.items())
        syscalls.mount(SOURCE, target, "overlay", 0, data)
        if layers.top and os.statvfs(target).f_flag & os.ST_RDONLY:
            syscalls.umount2(target)
            raise OSError(errno.EROFS, "the kernel mounted it read-only: it cannot write to the upper layer")


@contextmanager
def _scratch(parent: Path) -> Generator[Path, None, None]:
    """A directory for mounts that overlayfs keeps private clones of; short, as mount(2) takes a page of options."""
    with tempfile.TemporaryDirectory(dir=parent, prefix="m") as folder:
        yield Path(folder)
