"""Backups in the format of a btrfs pool, `--optimized-storage`: each subvolume as the stream that makes it.

backup/index.yaml, optimized: true     what else there is (`model/backup_file.py`)
backup/optimized_header.yaml           which streams there are (`model/btrfs_header.py`)
backup/snapshots/NAME.bin              what makes a snapshot of the one before it; of what is nested, NAME_path.bin
backup/container.bin                   what makes the instance of its last snapshot

Source: LXD 5.0.2, which reads and writes the same.
"""

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from lightervisor.errors import Invalid
from lightervisor.images.upload import check_space
from lightervisor.kernel import files, paths
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap
from lightervisor.model import yaml_documents
from lightervisor.model.btrfs_header import BtrfsHeader, BtrfsSubvolume
from lightervisor.storage import streams
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from lightervisor.storage.streams import OWN, SubvolumeStreams

HEADER, FOLDER, INSTANCE = "backup/optimized_header.yaml", "backup/snapshots", "backup/container"
BACKEND = "btrfs"
_LARGEST = 4 << 20


def written(
    driver: SubvolumeStreams, trees: Mapping[str, Path], scratch: Path, describe: Callable[[Path], None], watch: Watch
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
            copy = stack.enter_context(streams.unchanging(driver.layout, directory, prepare))
            for part in parts:
                file = scratch / f"{number}-{len(members)}.bin"
                with file.open("xb") as opened:
                    streams.send(copy, part, parent, opened.fileno(), _minding_space(opened.fileno(), watch))
                members[file_of(part)] = file
            parent, told = copy, [*told, *parts]
    header = scratch / "optimized_header.yaml"
    files.write_whole(header, yaml_documents.dump(BtrfsHeader(subvolumes=told)), 0o600)
    return {HEADER: header, **members}


def _minding_space(file: int, watch: Watch) -> Watch:
    def told(_written: int) -> None:
        check_space(file)

    watch.told = told
    return watch


def file_of(part: BtrfsSubvolume) -> str:
    """The name of a stream in the archive."""
    nested = "" if part.path == OWN else f"_{part.path[1:].replace('-', '--').replace('/', '-')}"
    return f"{FOLDER}/{part.snapshot}{nested}.bin" if part.snapshot else f"{INSTANCE}{nested}.bin"


def taken(driver: StorageDriver, volume: Volume, staged: Path, maps: Mapping[str, IdMap | None], watch: Watch) -> None:
    """Make a volume and its snapshots of the streams in an unpacked archive; `maps` as `Archive.unpack` has them.

    Raises Invalid, HostError; what was placed until then is the caller's to remove. Blocking.
    """
    if not isinstance(driver, SubvolumeStreams):
        raise TypeError("only a driver of subvolumes was asked to")
    header = _header(staged, [name for name in maps if name])
    received: dict[str, dict[BtrfsSubvolume, Path]] = {name: {} for name in maps}
    with streams.receiving(driver.layout, watch) as place:
        for part in header.subvolumes:
            descriptor = _opened(staged, file_of(part))
            try:
                received[part.snapshot][part] = place.receive(descriptor, part.uuid)
            finally:
                os.close(descriptor)
        for name in sorted(maps, reverse=True):  # the volume when all its snapshots are there
            target = Snapshot(volume, name) if name else volume
            parts = received[name]
            driver.adopt(target, lambda made, parts=parts: streams.assembled(parts, made), maps[name])


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
