"""Trees whose owners were shifted on disk, as LXD does where it has no id-mapped mounts, brought back to plain ones.

Nothing is walked over: what is written through an id-mapped view of a directory lands there with the owners that the
map's user namespace gives them, in access lists and capabilities of files too. Source: mount_setattr(2).
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import mounts
from lightervisor.kernel.idmap import IdMap, completed
from lightervisor.kernel.userns import open_userns
from lightervisor.storage.trash import Trash

MOST_RANGES = 100


@contextmanager
def shown_shifted(trash: Trash, directory: Path, idmap: IdMap | None) -> Generator[Path, None, None]:
    """A directory as who has this id map sees it: what is made there with the host's ids gets those inside.

    Raises Invalid for what is no id map of the kernel's.
    """
    if idmap is None:
        yield directory
        return
    if len(idmap.ranges) > MOST_RANGES:
        raise Invalid("id map", cause=f"it has more than {MOST_RANGES} ranges")
    try:
        namespace = open_userns(completed(idmap))
    except HostError as error:
        raise Invalid("id map", cause=error.cause) from error
    view = trash.new()
    try:
        mounts.bind_idmapped(directory, view, namespace)
        yield view
    finally:
        os.close(namespace)
        trash.remove(view)
