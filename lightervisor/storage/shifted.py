"""Volumes whose files have the owners of an id map on disk while they are in use.

That is for where the kernel makes no id-mapped mounts: in a container, as they are the privilege of who mounted the
file system. Which map it is stands beside the files before the first owner is changed, so that a daemon that is killed
meanwhile leaves nothing that cannot be told; shifting and making plain again may both be done twice.
"""

import os
from pathlib import Path

from lightervisor.errors import NotFound
from lightervisor.kernel import files, idmap, owners
from lightervisor.kernel.idmap import IdMap

MARK = "shifted"
_DONE = "\n"


def is_needed() -> bool:
    """Whether this daemon lives in a container, whose kernel makes no id-mapped mounts for it."""
    return idmap.map_of_process(os.getpid()) is not None


def map_of(directory: Path) -> IdMap | None:
    """The map whose owners the files of a volume have, None when they are plain. Raises NotFound without a volume."""
    try:
        text = (directory / MARK).read_text()
    except FileNotFoundError as error:
        if not directory.is_dir():
            raise NotFound("storage pool volume", directory.name) from error
        return None
    return idmap.from_json(text.removesuffix(_DONE))


def shift(directory: Path, wanted: IdMap) -> None:
    """Give the files of a volume the owners of a map. Blocking, as long as the tree is big. Raises OSError."""
    mark = directory / MARK
    present = map_of(directory)
    if present == wanted and mark.read_text().endswith(_DONE):
        return
    if present is not None and present != wanted:
        make_plain(directory)
    files.write_whole(mark, wanted.to_json(), 0o600)
    owners.shift(directory / "rootfs", wanted)
    files.write_whole(mark, wanted.to_json() + _DONE, 0o600)


def make_plain(directory: Path) -> None:
    """Give the files of a volume their plain owners again; nothing happens when they have them. Raises OSError."""
    if (present := map_of(directory)) is not None:
        owners.unshift(directory / "rootfs", present)
        (directory / MARK).unlink()
