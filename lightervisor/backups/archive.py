"""A backup that a client has sent: its index, and its files in a pool. Nothing in it is believed before it was checked.

It is unpacked by native programs that see nothing but the archive and one directory, as images are; only then it is
looked at, without following any link. Source: LXD 5.0.2, backups; docs/adr/0010.
"""

import functools
import stat
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from lightervisor.backups import streamed
from lightervisor.backups.contents import INDEX, INSTANCE, SNAPSHOTS
from lightervisor.backups.owners import shown_shifted
from lightervisor.backups.records import IDMAP
from lightervisor.config import names
from lightervisor.errors import Failure, HostError, Invalid, Unsupported
from lightervisor.images.formats.format import HEAD, format_beginning
from lightervisor.images.formats.tar import Tar
from lightervisor.images.meter import Meter
from lightervisor.instances import snapshot_names
from lightervisor.kernel import copies, files
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap, from_json
from lightervisor.model import yaml_documents
from lightervisor.model.backup_file import BackupConfig, BackupIndex
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume

KIND, FILE = "backup", "index.yaml"
LARGEST = 16 << 20
"""Most bytes of an index: one snapshot takes two or three thousand."""


class Part(NamedTuple):
    """What of an archive is unpacked at once: the trees whose owners one id map has shifted; all of it without any."""

    idmap: IdMap | None
    trees: Sequence[str] = ()


class Upload(Protocol):
    """A backup that has come."""

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        ...

    def opened(self, driver: StorageDriver, parts: Sequence[Part], meter: "MeterOf") -> AbstractContextManager[Path]:
        """What is in it, unpacked in the driver's pool until the context ends; to be called once. Blocking.

        `meter` makes what counts what comes into a directory. Raises Invalid, HostError.
        """
        ...

    def discard(self) -> None:
        """Remove what is left of it."""
        ...


class Spooled:
    """One that had to be received whole before it was unpacked (`incoming.py` says when).

    Space is not needed twice all the same: what has been read for the last time is given back meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def discard(self) -> None:
        """Remove the file, if it is there still."""
        self.path.unlink(missing_ok=True)

    def index(self) -> BackupIndex:
        """What it says of itself. Raises Invalid. Blocking."""
        with about_backups():
            text = tar_beginning(self._head()).first(self.path, Meter(self.size), INDEX, largest=LARGEST)
        if text is None:
            raise Invalid(KIND, text="Backup is missing index.yaml", remedy="this is no backup")
        return parsed(text)

    def _head(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(HEAD)

    @contextmanager
    def opened(self, driver: StorageDriver, parts: Sequence[Part], meter: "MeterOf") -> Generator[Path, None, None]:
        """As of every upload; each part takes a reading of the whole."""
        form = tar_beginning(self._head())
        with driver.layout.making("storage volume") as staged:
            for part in parts:
                with about_backups(), shown_shifted(driver.layout.trash, staged, part.idmap) as target:
                    counted = meter(staged)
                    if part is parts[-1]:  # never read again
                        counted.when_read(lambda position: files.give_back(self.path, position))
                    form.unpack(self.path, target, counted, only=part.trees)
            yield staged


class Unpacked:
    """One that was unpacked while it came, in `directory`, or could not be for `failure`."""

    def __init__(self, driver: StorageDriver, directory: Path | None, size: int, failure: Failure | None) -> None:
        self._driver, self._directory, self.size, self.failure = driver, directory, size, failure

    def discard(self) -> None:
        """Remove what was not used; what cannot be removed fails nothing, and goes with the next start."""
        if self._directory is not None and self._directory.exists():
            trash = self._driver.layout.trash  # it lies there from the beginning
            trash.behind(functools.partial(trash.remove, self._directory))

    @contextmanager
    def opened(self, driver: StorageDriver, parts: Sequence[Part], meter: "MeterOf") -> Generator[Path, None, None]:
        """As of every upload; all that was to be known of the parts was known before."""
        if driver is not self._driver or len(parts) != 1:
            raise HostError(KIND, cause="its storage pool was made anew meanwhile", remedy="import it again")
        with driver.layout.making("storage volume") as staged:
            if self.failure is not None:
                raise self.failure
            if self._directory is not None:
                self._directory.rename(staged)
            yield staged


def take(driver: StorageDriver, volume: Volume, maps: "Maps", staged: Path, watch: Watch) -> None:
    """As `place`, of a backup of streams, which the driver can take. Raises Failure when the watch ends it."""
    check_directory(staged, "backup")
    streamed.taken(driver, volume, staged, maps, watch)


def place(driver: StorageDriver, volume: Volume, maps: "Maps", staged: Path, meter: "MeterOf") -> None:
    """Make a volume and its snapshots of what was unpacked, all or none in the end. Blocking.

    `maps` are the id maps by which the owners of each tree were shifted, of the snapshots by their names and of the
    instance by "". Raises Invalid when there are other snapshots than these, HostError; what was placed until then is
    the caller's to remove.
    """
    snapshots = sorted(name for name in maps if name)
    check_directory(staged, "backup")
    check_directory(staged, INSTANCE)
    found = names_in(staged, SNAPSHOTS)
    if found != set(snapshots):
        odd = sorted(found ^ set(snapshots))
        raise Invalid(KIND, cause=f"its index and its files disagree about the snapshot {odd[0]!r}")
    for name in snapshots:  # a link would lead out of it, as what is moved then is below
        check_directory(staged / SNAPSHOTS, name)
    like: Snapshot | None = None
    for name in (name for name in maps if name):  # the oldest first
        snapshot = Snapshot(volume, name)
        _place(driver, staged / _tree_of(name), snapshot, like, meter)
        like = snapshot
    _place(driver, staged / INSTANCE, volume, like, meter)


def parsed(text: bytes) -> BackupIndex:
    """What an index says. Raises Invalid."""
    document = yaml_documents.mapping(text, KIND, FILE, largest=LARGEST)
    return yaml_documents.convert(document, BackupIndex, KIND, FILE)


Maps = Mapping[str, IdMap | None]
MeterOf = Callable[[Path], Meter]


def check(index: BackupIndex) -> None:
    """Raise Invalid or Unsupported for an index that cannot be imported on any server of ours."""
    if index.type not in ("container", ""):
        if index.type == "virtual-machine":
            raise Unsupported(KIND, cause="it is of a virtual machine, which are not offered")
        raise Invalid(KIND, cause=f"it is not of an instance but of type {index.type[:50]!r}")
    if index.optimized and index.backend != streamed.BACKEND:
        remedy = "export the instance again without --optimized-storage"
        raise Unsupported(KIND, cause=f"it has the format of {index.backend[:50]!r} storage pools", remedy=remedy)
    names.check_instance(index.name)
    config = index.config
    if config is None or config.container is None:
        raise Invalid(KIND, cause="its index says nothing of the instance", remedy="it is of an LXD before 4.0")
    check_snapshots(config, index.snapshots)


def check_snapshots(config: BackupConfig, listed: Sequence[str]) -> None:
    """Raise Invalid unless all that is told of snapshots is told of these, each once."""
    for name in listed:
        snapshot_names.check(name)
    if len(set(listed)) != len(listed):
        raise Invalid(KIND, cause="its index lists a snapshot twice")
    described = [one.name for one in config.snapshots]
    if sorted(described) != sorted(listed):
        raise Invalid(KIND, cause="its index describes other snapshots than it lists")


def maps_of(config: BackupConfig) -> Maps:
    """The id maps that the files of each tree have, as its own configuration tells. Raises Invalid."""
    told = {one.name: one.config for one in config.snapshots}
    told[""] = config.container.config if config.container else {}
    return {name: from_json(one.get(IDMAP, "")) for name, one in told.items()}


def parts_of(maps: Maps) -> list[Part]:
    """What is to be unpacked with which id map: all at once, when it is the same of all trees."""
    different = list(dict.fromkeys(maps.values()))
    if len(different) == 1:
        return [Part(different[0])]
    return [Part(idmap, [_tree_of(name) for name, one in maps.items() if one == idmap]) for idmap in different]


def _tree_of(snapshot: str) -> str:
    return f"{SNAPSHOTS}/{snapshot}" if snapshot else INSTANCE


def tar_beginning(head: bytes) -> Tar:
    """What reads a backup that begins with these `HEAD` bytes. Raises Invalid unless it is a tar archive."""
    with about_backups():
        form = format_beginning(head)
    if not isinstance(form, Tar):
        raise Invalid(KIND, cause="it is no tar archive")
    return form


def _place(
    driver: StorageDriver, source: Path, target: Volume | Snapshot, like: Snapshot | None, meter: "MeterOf"
) -> None:
    """Make a volume or snapshot of an unpacked tree.

    Where the pool can, only what differs from the snapshot before is kept. Dates prove nothing here: an archive may
    have them without their fractions, so contents are compared.
    """
    if like is None or not driver.SHARES:
        if isinstance(target, Volume):
            driver.fill_volume(target, _moving(driver, source))
        else:
            driver.fill_snapshot(target, _moving(driver, source))
        return
    check_directory(source, "rootfs")
    check = meter(source).check
    with driver.filling(target, like) as filling:
        watch = Watch(lambda _: check())
        copies.synchronise(source / "rootfs", filling.directory / "rootfs", watch, by_content=True)
        driver.layout.copy_beside(source, filling.directory)
    driver.layout.trash.discard(source)


def _moving(driver: StorageDriver, source: Path) -> Callable[[Path], None]:
    """Moves what belongs to a volume or snapshot out of the unpacked archive; other things stay and are thrown away."""

    def fill(target: Path) -> None:
        check_directory(source, "rootfs")
        copies.move_tree(source / "rootfs", target / "rootfs")
        driver.layout.copy_beside(source, target)

    return fill


def check_directory(root: Path, name: str) -> None:
    """Raise Invalid unless something unpacked is a directory, and no link to one."""
    try:
        mode = (root / name).lstat().st_mode
    except FileNotFoundError:
        raise Invalid(KIND, cause=f"it has no {name}") from None
    if not stat.S_ISDIR(mode):
        raise Invalid(KIND, cause=f"its {name} is not a directory")


def names_in(root: Path, name: str) -> set[str]:
    """What is in a directory, nothing when it is not there."""
    try:
        mode = (root / name).lstat().st_mode
    except FileNotFoundError:
        return set()
    if not stat.S_ISDIR(mode):
        raise Invalid(KIND, cause=f"its {name} is not a directory")
    return {entry.name for entry in (root / name).iterdir()}


@contextmanager
def about_backups() -> Generator[None, None, None]:
    """What the formats say of images is said of backups."""
    try:
        yield
    except Invalid as error:
        if error.kind != "image":
            raise
        raise Invalid(KIND, error.name, cause=error.cause, remedy=error.remedy, text=error.text) from error
