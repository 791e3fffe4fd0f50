"""Backups in the format of a btrfs pool, `--optimized-storage`: each subvolume as the stream that makes it.

backup/index.yaml, optimized: true     what else there is (`model/backup_file.py`)
backup/optimized_header.yaml           which streams there are (`model/btrfs_header.py`)
backup/snapshots/NAME.bin              what makes a snapshot of the one before it; of what is nested, NAME_path.bin
backup/container.bin                   what makes the instance of its last snapshot

Of a custom volume these are backup/volume-snapshots/NAME.bin and backup/volume.bin, with its files at the top.
Source: LXD 5.0.2, which reads and writes the same.
"""

import functools
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from lightervisor.errors import Invalid
from lightervisor.images.upload import check_space
from lightervisor.kernel import files, paths
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.model import yaml_documents
from lightervisor.model.backup_file import BackupIndex
from lightervisor.model.btrfs_header import BtrfsHeader, BtrfsSubvolume
from lightervisor.storage import lifting, streams
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from lightervisor.storage.streams import OWN, SubvolumeStreams

HEADER = "backup/optimized_header.yaml"
BACKEND = "btrfs"
_LARGEST = 4 << 20


class Form(NamedTuple):
    """How the streams are called; of a custom volume they are of what is `lifted`."""

    own: str
    snapshots: str
    is_lifted: bool = False

    def file_of(self, part: BtrfsSubvolume) -> str:
        """The name of a stream in the archive."""
        nested = "" if part.path == OWN else f"_{part.path[1:].replace('-', '--').replace('/', '-')}"
        return f"{self.snapshots}/{part.snapshot}{nested}.bin" if part.snapshot else f"{self.own}{nested}.bin"


INSTANCE = Form("backup/container", "backup/snapshots")
VOLUME = Form("backup/volume", "backup/volume-snapshots", is_lifted=True)
Describe = Callable[[Path], None]


def written(
    driver: SubvolumeStreams,
    trees: Mapping[str, Path],
    scratch: Path,
    watch: Watch,
    *,
    form: Form = INSTANCE,
    describe: Describe | None = None,
) -> dict[str, Path]:
    """Write streams into an empty directory; the files by their names in the archive, the header first. Blocking.

    `trees` are directories by the snapshots' names, the oldest first, that of the instance ("") last; `describe` writes
    what tells of it into a copy of that. Raises HostError, Failure when it was cancelled.
    """
    told: list[BtrfsSubvolume] = []
    members: dict[str, Path] = {}
    with ExitStack() as stack:
        parent: Path | None = None
        for number, (name, directory) in enumerate(trees.items()):
            parts = streams.described(directory, name)
            prepare = None if name else describe
            if form.is_lifted:
                parts, prepare = lifting.lifted(parts), lifting.lift
            copy = stack.enter_context(streams.unchanging(driver.layout, directory, prepare))
            for part in parts:
                file = scratch / f"{number}-{len(members)}.bin"
                with file.open("xb") as opened:
                    streams.send(copy, part, parent, opened.fileno(), _minding_space(opened.fileno(), watch))
                members[form.file_of(part)] = file
            parent, told = copy, [*told, *parts]
    header = scratch / "optimized_header.yaml"
    files.write_whole(header, yaml_documents.dump(BtrfsHeader(subvolumes=told)), 0o600)
    return {HEADER: header, **members}


def check_format(index: BackupIndex, driver: StorageDriver, kind: str) -> None:
    """Raise Invalid with LXD's text for streams that are to come into a pool of another driver."""
    if index.optimized and not isinstance(driver, SubvolumeStreams):
        names = f'Optimized backup storage driver "{index.backend}" differs from the target storage pool driver'
        text = f'Create {kind} from backup: {names} "{driver.name}"'
        remedy = f"choose a pool of {index.backend} (--storage), or export it again without --optimized-storage"
        raise Invalid("backup", index.name, text=text, remedy=remedy)


def _minding_space(file: int, watch: Watch) -> Watch:
    def told(_written: int) -> None:
        check_space(file)

    watch.told = told
    return watch


def taken(
    driver: StorageDriver,
    volume: Volume,
    staged: Path,
    maps: Mapping[str, IdMap | None],
    watch: Watch,
    form: Form = INSTANCE,
) -> None:
    """Make a volume and its snapshots of the streams in an unpacked archive; `maps` as `Archive.unpack` has them.

    Raises Invalid, HostError; what was placed until then is the caller's to remove. Blocking.
    """
    if not isinstance(driver, SubvolumeStreams):
        raise TypeError("only a driver of subvolumes was asked to")
    header = _header(staged, [name for name in maps if name])
    received: dict[str, dict[BtrfsSubvolume, Path]] = {name: {} for name in maps}
    with streams.receiving(driver.layout, watch) as place:
        for part in header.subvolumes:
            descriptor = _opened(staged, form.file_of(part))
            try:
                received[part.snapshot][part] = place.receive(descriptor, part.uuid)
            finally:
                os.close(descriptor)
        for name in sorted(maps, reverse=True):  # the volume when all its snapshots are there
            target = Snapshot(volume, name) if name else volume
            parts = received[name]
            driver.adopt(target, functools.partial(_make, parts, form), maps[name])


def _make(parts: Mapping[BtrfsSubvolume, Path], form: Form, made: Path) -> None:
    streams.assembled(parts, made)
    if form.is_lifted:
        lifting.lower(made)


def _header(staged: Path, names: list[str]) -> BtrfsHeader:
    """The header; older servers wrote none, when there was nothing nested."""
    if not paths.exists(staged, HEADER):
        own = [BtrfsSubvolume(path=OWN, snapshot=name, readonly=bool(name)) for name in [*names, ""]]
        return BtrfsHeader(subvolumes=own)
    text = paths.read(staged, HEADER, limit=_LARGEST)
    document = yaml_documents.mapping(text, "backup", "optimized_header.yaml", largest=_LARGEST)
    header = yaml_documents.convert(document, BtrfsHeader, "backup", "optimized_header.yaml")
    streams.check(header.subvolumes, names)
    return header


def _opened(staged: Path, name: str) -> int:
    try:
        descriptor = paths.open_beneath(staged, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Invalid("backup", cause=f"it has no {name[:200]!r}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Invalid("backup", cause=f"its {name[:200]!r} is no file")
    return descriptor
