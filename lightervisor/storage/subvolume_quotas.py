"""How much the subvolumes of a pool take and may take; the pool begins to count with the first size that is asked for.

A limit is of what can be seen in a volume, also what it shares with its image, as on LXD. Subvolumes that a guest nests
in its own are not counted with it.
"""

import errno
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lightervisor.config import sizes
from lightervisor.errors import Failure, HostError
from lightervisor.kernel import btrfs, btrfs_quotas, syscalls
from lightervisor.kernel.project_quotas import Figures

ROOM = 4 << 20


class SubvolumeQuotas:
    """The quotas of one pool."""

    def __init__(self, root: Path) -> None:
        self._root, self._lifting = root, threading.RLock()

    def figures(self, directory: Path) -> Figures | None:
        """What a volume shows and may show; None where the pool does not count."""
        try:
            with btrfs.opened(directory) as opened:
                return btrfs_quotas.referenced(opened, btrfs.number_of(opened))
        except OSError:
            return None

    def exclusive(self, directory: Path) -> int | None:
        """What would come free without a volume or snapshot; None where the pool does not count."""
        try:
            with btrfs.opened(directory) as opened:
                return btrfs_quotas.exclusive(opened, btrfs.number_of(opened))
        except OSError:
            return None

    def hand_on(self, directory: Path, staged: Path) -> None:
        """Let what is to be in a volume's place take as much as that. Raises OSError."""
        if (figures := self.figures(directory)) is not None and figures.limit:
            with btrfs.opened(staged) as opened:
                btrfs_quotas.limit(opened, btrfs.number_of(opened), figures.limit)

    @contextmanager
    def unheld(self, directory: Path) -> Generator[None, None, None]:
        """While this lasts a little more can be written to a volume than it may take, by the daemon beside its root.

        Else a guest that fills its volume keeps the daemon from noting what it has to, and so itself from its next
        start. Raises OSError.
        """
        with self._lifting:
            figures = self.figures(directory)
            if figures is None or not figures.limit:
                yield
                return
            with btrfs.opened(directory) as opened:
                subvolume = btrfs.number_of(opened)
                btrfs_quotas.limit(opened, subvolume, figures.limit, ROOM)
                try:
                    yield
                finally:
                    btrfs_quotas.limit(opened, subvolume, figures.limit)

    def hold(self, directory: Path) -> None:
        """Hold a volume to its size again after a daemon that died while it was unheld. Raises OSError."""
        self.hand_on(directory, directory)

    def resize(self, directory: Path, size: int) -> None:
        """Let a volume show at most so many bytes, 0 for no limit. Raises Failure with LXD's text, HostError."""
        try:
            with self._lifting, btrfs.opened(directory) as opened:
                if not btrfs_quotas.are_enabled(opened):
                    if not size:
                        return
                    btrfs_quotas.enable(opened)
                if size:
                    syscalls.sync_file_system(opened)  # figures are those of the last commit
                subvolume = btrfs.number_of(opened)
                figures = btrfs_quotas.referenced(opened, subvolume)
                if size and figures is not None and figures.used > size:
                    remedy = f"{sizes.human(figures.used)} are in use: delete files in it, or choose a larger size"
                    raise Failure("storage volume", directory.name, text="Cannot be shrunk", remedy=remedy)
                btrfs_quotas.limit(opened, subvolume, size)
        except OSError as error:
            remedy = "set a size again after: btrfs quota rescan" if error.errno == errno.ENOENT else ""
            raise HostError("quota", self._root.name, cause=error.strerror or str(error), remedy=remedy) from error
