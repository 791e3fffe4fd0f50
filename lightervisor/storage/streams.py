"""Volumes as streams of btrfs: what `btrfs send` says of a subvolume, and what comes of it at `btrfs receive`.

A stream is orders to make files, from whoever has sent it. The program that carries them out sees one subvolume of the
pool's trash and nothing else of the host: not by a link, and no other subvolume to take files from, though it knew its
number. What has come is looked at before it becomes a volume. Source: btrfs-send(8), btrfs-receive(8), bwrap(1).
"""

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from uuid import UUID

import msgspec

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import btrfs, paths
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.model.btrfs_header import BtrfsSubvolume
from lightervisor.storage import subvolumes
from lightervisor.storage.driver import Snapshot, Volume
from lightervisor.storage.layout import PoolLayout, too_long

OWN = "/"
"""The path of a volume's own subvolume."""
MOST = 10_000
"""More streams of one volume nobody means."""
_MEMORY = 4 << 30
_WHAT, _TOO_LONG = "storage volume", "too long"
_CAPABILITIES = ("SYS_ADMIN", "SYS_CHROOT", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
_TARGET = "/target"


class SubvolumeStreams(ABC):
    """An ability of storage drivers, whose volumes and snapshots are subvolumes."""

    layout: PoolLayout

    @abstractmethod
    def adopt(self, target: Volume | Snapshot, make: Callable[[Path], None], idmap: IdMap | None) -> None:
        """Make a volume or snapshot, or replace it, of a subvolume that `make` makes at a name.

        `idmap` is that of its owners, None when they are plain. Nothing in it is believed. Raises Invalid, HostError.
        """


def described(directory: Path, snapshot: str) -> list[BtrfsSubvolume]:
    """The subvolumes of a volume or snapshot, its own first.

    Raises OSError, HostError for a name that is no text, or is too long.
    """
    try:
        return _all_described(directory, snapshot)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise too_long(_WHAT) from error
        raise


def _all_described(directory: Path, snapshot: str) -> list[BtrfsSubvolume]:
    with btrfs.opened(directory) as opened:
        own = _described(opened, OWN, snapshot)
        found = [msgspec.structs.replace(own, readonly=bool(snapshot))]  # also a snapshot that becomes an instance
        for one in btrfs.nested(opened):
            try:
                path = f"/{one.path.decode()}"
            except UnicodeDecodeError as error:
                cause = f"the name of a subvolume in it is no text: {one.path!r}"
                raise HostError("storage volume", directory.name, cause=cause, remedy="rename that") from error
            found.append(_nested(opened, one.number, path, snapshot))
    return found


def _nested(anywhere: int, number: int, path: str, snapshot: str) -> BtrfsSubvolume:
    descriptor = btrfs.open_number(anywhere, number)
    try:
        return _described(descriptor, path, snapshot)
    finally:
        os.close(descriptor)


def _described(descriptor: int, path: str, snapshot: str) -> BtrfsSubvolume:
    facts = btrfs.facts(descriptor)
    return BtrfsSubvolume(path=path, snapshot=snapshot, readonly=facts.is_read_only, uuid=str(facts.uuid))


@contextmanager
def unchanging(
    layout: PoolLayout, directory: Path, prepare: Callable[[Path], None] | None = None
) -> Generator[Path, None, None]:
    """A copy of a volume or snapshot, all of whose subvolumes nobody can write to, as `btrfs send` wants them.

    `prepare` may write into it before.
    """
    with layout.making("stream") as outer:
        copy = outer / "sent"
        subvolumes.copy(directory, copy)
        if prepare is not None:
            prepare(copy)
        with btrfs.opened(copy) as opened:
            for one in btrfs.nested(opened):
                descriptor = btrfs.open_number(opened, one.number)
                try:
                    btrfs.set_read_only(descriptor, True)
                finally:
                    os.close(descriptor)
            btrfs.set_read_only(opened, True)
        yield copy


def send(copy: Path, part: BtrfsSubvolume, parent: Path | None, to: int, watch: Watch) -> None:
    """Write the stream of one subvolume of an `unchanging` copy; of what differs, when the `parent` copy has it too.

    Raises HostError quoting the program, Failure when it was cancelled.
    """
    argv: list[str | Path] = ["btrfs", "--quiet", "send"]
    if parent is not None and btrfs.is_subvolume(parent / part.path.strip("/")):
        argv += ["-p", parent / part.path.strip("/")]
    try:
        watch.pour([*argv, copy / part.path.strip("/")], to=to)
    except (HostError, OSError) as error:
        if _TOO_LONG in str(error):
            raise too_long(_WHAT) from error
        raise


class Receiving:
    """A place for what comes as streams; all that was received is there for those that say what differs from it."""

    def __init__(self, place: Path, watch: Watch) -> None:
        self._place, self._watch = place, watch
        self._count = 0

    def receive(self, source: int, known_as: str = "") -> Path:
        """The subvolume that a stream makes. Raises Invalid when it is none, Failure when it was cancelled.

        Streams that say what differs from it name it as it does itself, or by the number that it is `known_as`.
        """
        own, self._count = self._place / str(self._count), self._count + 1
        own.mkdir(mode=0o755)  # streams of several may make subvolumes of one name
        argv: list[str | Path] = ["prlimit", f"--as={_MEMORY}", "--core=0", "bwrap", "--die-with-parent"]
        argv += [
            "--new-session",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
            "--cap-drop",
            "ALL",
        ]
        for capability in _CAPABILITIES:
            argv += ["--cap-add", f"CAP_{capability}"]
        argv += ["--ro-bind", "/usr", "/usr", "--proc", "/proc"]
        for name in ("/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache"):
            argv += ["--ro-bind-try", name, name]
        argv += [
            "--bind",  # not --dev-bind: a stream may order to write to the device that it has made
            self._place,
            _TARGET,
            "--",
            "btrfs",
            "--quiet",
            "receive",
            "-C",
            "-e",
            f"{_TARGET}/{own.name}",
        ]
        try:
            self._watch.pour(argv, source=source)
        except HostError as error:
            if _TOO_LONG in error.cause:
                raise too_long(_WHAT) from error
            raise Invalid("stream of btrfs", cause=error.cause) from error
        found = list(own.iterdir())
        if len(found) != 1 or not btrfs.is_subvolume(found[0]):
            raise Invalid("stream of btrfs", cause="it does not make one subvolume")
        if known_as:
            self._know(found[0], known_as)
        return found[0]

    def _know(self, received: Path, known_as: str) -> None:
        """Have it found by that number too.

        What LXD has received and lets be written to it sends by two numbers: as it had received it, which it forgets
        with that, and then, where it is what others differ from, by its own.
        """
        try:
            wanted = UUID(known_as)
        except ValueError as error:
            raise Invalid("stream of btrfs", cause=f"{known_as[:50]!r} is no number of a subvolume") from error
        with btrfs.opened(received) as opened:
            if btrfs.facts(opened).received == wanted:
                return
            twin = received.parent.with_suffix(".twin")
            btrfs.snapshot(opened, twin)
        with btrfs.opened(twin) as opened:
            btrfs.set_received(opened, wanted)
            btrfs.set_read_only(opened, True)


@contextmanager
def receiving(layout: PoolLayout, watch: Watch) -> Generator[Receiving, None, None]:
    """A place to receive streams in, which goes with all that is in it when the context ends."""
    with layout.making("stream") as outer:
        btrfs.create(outer / "received", 0o755)
        yield Receiving(outer / "received", watch)


def check(parts: Sequence[BtrfsSubvolume], snapshots: Collection[str]) -> None:
    """Raise Invalid unless these are the subvolumes of these snapshots, in any order, and then of their volume."""
    if len(parts) > MOST:
        raise Invalid("stream of btrfs", cause=f"it has more than {MOST} subvolumes")
    own = [part.snapshot for part in parts if part.path == OWN]
    if own[-1:] != [""] or sorted(own[:-1]) != sorted(snapshots):
        raise Invalid("stream of btrfs", cause="its header is of other snapshots than its index")
    seen = set[tuple[str, str]]()
    for part in parts:
        pure = PurePosixPath(part.path)
        is_plain = part.path.startswith("/") and str(pure) == part.path and ".." not in pure.parts
        if not is_plain or "\0" in part.path or (part.snapshot, part.path) in seen:
            raise Invalid("stream of btrfs", cause=f"its header has the path {part.path[:100]!r}")
        seen.add((part.snapshot, part.path))
        if (part.snapshot, OWN) not in seen:
            raise Invalid("stream of btrfs", cause="its header begins with what is nested")


def assembled(parts: Mapping[BtrfsSubvolume, Path], target: Path) -> None:
    """Make a subvolume, where no guest can reach, of those received, each at its path. Raises OSError, Invalid."""
    own = next(path for part, path in parts.items() if part.path == OWN)
    btrfs.snapshot(own, target)
    nested = {part: path for part, path in parts.items() if part.path != OWN}
    for part in sorted(nested, key=lambda part: part.path.count("/")):
        try:
            _put(nested[part], target, part.path[1:])
        except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
            raise Invalid("stream of btrfs", cause=f"there is no place for {part.path[:100]!r}") from error
    for part in sorted(nested, key=lambda part: -part.path.count("/")):
        if part.readonly:
            descriptor = paths.open_beneath(target, part.path[1:], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                btrfs.set_read_only(descriptor, True)
            finally:
                os.close(descriptor)


def _put(received: Path, target: Path, path: str) -> None:
    with paths.parent(target, path) as (place, name):
        parent = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
        try:
            with btrfs.opened(received) as source:
                btrfs.snapshot_in(source, parent, os.fsencode(name))
        finally:
            os.close(parent)
