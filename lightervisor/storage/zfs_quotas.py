"""How much the datasets of a pool take and may take. Source: zfsprops(7), quota and refquota.

With `quota`, which is LXD's usual way, snapshots count and what is shared with an image does not; with `refquota` it is
what can be seen in the volume. Figures of all volumes are asked for at once, and hold for a second.
"""

import os
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from lightervisor.config import sizes
from lightervisor.errors import Failure, HostError
from lightervisor.kernel import zfs
from lightervisor.kernel.project_quotas import Figures
from lightervisor.storage.volume import Volume
from lightervisor.storage.zfs_datasets import Datasets

ROOM = 4 << 20
REFQUOTA, RESERVE = "volume.zfs.use_refquota", "volume.zfs.reserve_space"
_AGE_S = 1.0


class DatasetQuotas:
    """The quotas of one pool."""

    def __init__(self, datasets: Datasets, config: Mapping[str, str]) -> None:
        self._datasets, self._lock = datasets, threading.Lock()
        is_seen = config.get(REFQUOTA) == "true"
        self._limit, self._used = ("refquota", "referenced") if is_seen else ("quota", "used")
        self._reservation = ("refreservation" if is_seen else "reservation") if config.get(RESERVE) == "true" else ""
        self._known: dict[str, tuple[float, dict[str, Figures]]] = {}

    def figures(self, volume: Volume) -> Figures | None:
        """What a volume takes and may take; None for one that is not there."""
        name = self._datasets.of(volume)
        with self._lock:
            asked_at, figures = self._known.get(volume.kind, (0.0, {}))
            if time.monotonic() - asked_at >= _AGE_S or name not in figures:
                try:
                    rows = zfs.tree([name.rpartition("/")[0]], ["name", self._used, self._limit])
                except (OSError, HostError):
                    return None
                figures = {one: Figures(used=int(used), limit=_number(limit)) for one, used, limit in rows}
                self._known[volume.kind] = time.monotonic(), figures
            return figures.get(name)

    def limit_of(self, dataset: str) -> int:
        """What a dataset may take, 0 for no limit."""
        return _number(zfs.get(dataset, self._limit)[self._limit])

    def set(self, dataset: str, size: int) -> None:
        """Let a dataset take so much."""
        wanted = str(size) if size else "none"
        zfs.set_properties(dataset, {name: wanted for name in (self._limit, self._reservation) if name})
        with self._lock:
            self._known.clear()

    def resize(self, volume: Volume, size: int) -> None:
        """Let a volume take at most so many bytes, 0 for no limit. Raises Failure with LXD's text, HostError."""
        dataset = self._datasets.of(volume)
        try:
            if size:
                zfs.flush_pool(dataset.partition("/")[0])  # figures are those of the last transaction
                used = int(zfs.get(dataset, self._used)[self._used])
                if used > size:
                    remedy = f"{sizes.human(used)} are in use: delete files in it, or choose a larger size"
                    raise Failure("storage volume", volume.name, text="Cannot be shrunk", remedy=remedy)
            self.set(dataset, size)
        except OSError as error:
            raise HostError("quota", volume.name, cause=error.strerror or str(error)) from error

    @contextmanager
    def unheld(self, volume: Volume, directory: Path) -> Generator[None, None, None]:
        """While this lasts the daemon may write a little more to a volume that is full than it may take.

        Else a guest that fills its volume keeps the daemon from noting what it has to, and so itself from its next
        start. Raises OSError, HostError.
        """
        free = ROOM
        with suppress(OSError):
            space = os.statvfs(directory)
            free = space.f_bavail * space.f_frsize
        limit = self.limit_of(self._datasets.of(volume)) if free < ROOM else 0
        if not limit:
            yield
            return
        self.set(self._datasets.of(volume), limit + ROOM)
        try:
            yield
        finally:
            self.set(self._datasets.of(volume), limit)


def _number(text: str) -> int:
    return 0 if text in ("-", "none") else int(text)
