"""Where a pool's things are made before they stand in their place, and thrown when they are deleted.

Making ends, and deleting begins, with one rename, so a killed daemon leaves a thing whole or leaves rubbish here. What
takes long (unlinking thousands of files, the kernel's flush when a file system is let go) is done behind, by a thread
for each thing, one at a time.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lightervisor.kernel import mounts, paths

log = logging.getLogger(__name__)


class Trash:
    """One directory, on the file system of what is thrown into it, that nobody but root can enter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.remove_tree: Callable[[Path], None] = paths.remove_tree
        """How what is in it is removed."""
        self._one_at_a_time, self._starting = threading.Lock(), threading.Lock()
        self._workers: set[threading.Thread] = set()

    def new(self) -> Path:
        """A fresh directory to make something in."""
        place = self.directory / secrets.token_hex(8)
        place.mkdir(mode=0o700)
        return place

    def discard(self, path: Path) -> None:
        """Throw a file or directory away: gone from its place at once. Nothing happens when it is gone already."""
        place = self.directory / secrets.token_hex(8)
        try:
            path.rename(place)
        except FileNotFoundError:
            return
        self.behind(lambda: self.remove(place))

    def remove(self, place: Path) -> None:
        """Remove what is in the trash now; what cannot be removed stays for the next start and is logged."""
        try:
            for mounted in (place, place / "rootfs"):
                mounts.umount_alone(mounted)  # a killed daemon's view of a volume that is mounted again by now
            self.remove_tree(place)
        except OSError as error:
            log.warning("Could not empty the trash of a storage pool: %s: %s", place, error.strerror)

    def empty(self) -> None:
        """Begin to remove everything: to be called before anything else uses the pool."""
        for place in self.directory.iterdir():
            self.behind(lambda place=place: self.remove(place))

    def behind(self, work: Callable[[], None]) -> None:
        """Do something on a thread of its own, after what was asked for before."""

        def run() -> None:
            try:
                with self._one_at_a_time:
                    work()
            finally:
                self._workers.discard(threading.current_thread())

        worker = threading.Thread(target=run, name="storage-trash", daemon=True)
        with self._starting:  # who waits meets no thread that cannot be waited for yet
            self._workers.add(worker)
            worker.start()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until all that was asked for is done, with what that asked for, or so many seconds have passed."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while end is None or time.monotonic() < end:
            with self._starting:
                workers = list(self._workers)
            if not workers:
                return
            for worker in workers:
                worker.join(None if end is None else max(0, end - time.monotonic()))
