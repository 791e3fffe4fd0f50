"""The directory that has what processes had in memory, beside a root file system: of an instance, or of a snapshot."""

import errno
from pathlib import Path

from lightervisor.kernel import copies, paths
from lightervisor.storage.driver import Snapshot, StorageDriver

STATE = "state"


def share(source: Path, target: Path) -> None:
    """The files of one directory in another, too, which nobody changes; those that a restore has written are left out.

    Blocking. Raises OSError, HostError.
    """
    make_empty(target)
    for entry in source.iterdir():
        if entry.suffix == ".log":
            continue
        try:
            (target / entry.name).hardlink_to(entry)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copies.copy_tree(entry, target / entry.name)


def make_empty(directory: Path) -> None:
    """An empty directory for them. Blocking."""
    paths.remove_tree(directory)
    directory.mkdir()
    directory.chmod(0o711)  # criu looks for files there as root of the container, which alone can come so far


def give(driver: StorageDriver, source: Path, snapshot: Snapshot) -> None:
    """Give a snapshot of a pool the files of a directory. Blocking. Raises OSError, HostError."""
    with driver.unheld(snapshot):
        share(source, driver.snapshot_path(snapshot) / STATE)
