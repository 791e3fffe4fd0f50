"""The datasets of one pool by their names, which are LXD's, and how they come into and go out of them.

    <pool>/containers/<name>, <pool>/custom/<name>   volumes, with snapshots @snapshot-<snapshot>
    <pool>/images/<fingerprint>@readonly             images, which volumes are clones of
    <pool>/containers-snapshots/<name>/<anything>    what has snapshots of a volume that its own dataset cannot have
    <pool>/making/                                   what is being made; `<kind>:<name>` is about to be that volume
    <pool>/deleted/                                  what is deleted, for as long as clones need it

A dataset's snapshots are of its own history: one that is copied from elsewhere, or whose volume has got another
history since, is in a dataset of the third kind. A name is free as soon as its dataset is in `deleted`; it is destroyed
behind, when the last clone of it has gone. Source: LXD 5.0, storage layout of `zfs`.
"""

import errno
import logging
import secrets
import threading
import time
from collections import defaultdict
from contextlib import suppress

from msgspec import Struct

from lightervisor.errors import HostError
from lightervisor.kernel import zfs
from lightervisor.storage.trash import Trash
from lightervisor.storage.volume import Snapshot, Volume

log = logging.getLogger(__name__)
SNAPSHOT, READONLY, COPY, DELETED = "snapshot-", "readonly", "copy-", "deleted-"
OPTIONS = {"canmount": "noauto"}
_PATIENCE = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds: the kernel lets go of what was unmounted a little later


class Kept(Struct, frozen=True):
    """A snapshot in ZFS: its dataset, and the name that it has there."""

    dataset: str
    name: str

    @property
    def full(self) -> str:
        """As the programs of ZFS call it."""
        return f"{self.dataset}@{self.name}"


class Datasets:
    """The names below one dataset. Failures are OSError and HostError."""

    def __init__(self, base: str, trash: Trash) -> None:
        self.base, self._trash = base, trash
        self._sweeping, self._is_awaited = threading.Lock(), False

    def of(self, volume: Volume) -> str:
        """The dataset of a volume."""
        return f"{self.base}/{volume.kind}/{volume.name}"

    def image(self, fingerprint: str) -> str:
        """The dataset of an image."""
        return f"{self.base}/images/{fingerprint}"

    def elsewhere(self, volume: Volume) -> str:
        """Above the datasets that have snapshots of a volume which its own cannot have."""
        return f"{self.base}/{volume.kind}-snapshots/{volume.name}"

    def another(self, volume: Volume) -> str:
        """A new name for such a dataset."""
        return f"{self.elsewhere(volume)}/{secrets.token_hex(8)}"

    def making(self) -> str:
        """A new name for something that is being made."""
        return f"{self.base}/making/{secrets.token_hex(8)}"

    def next(self, volume: Volume) -> str:
        """Where a dataset is that takes a volume's place as soon as that is free, also after a crash."""
        return f"{self.base}/making/{volume.kind}:{volume.name}"

    def moment(self, dataset: str) -> Kept:
        """Keep what a dataset holds now, for a copy."""
        kept = Kept(dataset, f"{COPY}{secrets.token_hex(8)}")
        zfs.snapshot(kept.full)
        return kept

    def release(self, kept: Kept) -> None:
        """Let such a snapshot go, behind, with the last clone of it."""
        self._trash.behind(lambda: self._destroy_snapshots(kept.dataset, [kept.name]))

    def kept(self, volume: Volume) -> list[Kept]:
        """The snapshots of a volume from the oldest on: of a name that is there twice the last one counts."""
        rows = zfs.tree([self.of(volume), self.elsewhere(volume)], ["name", "createtxg"], "snapshot")
        rows.sort(key=lambda row: int(row[1]))
        found = [Kept(*name.split("@", 1)) for name, _ in rows]
        return [one for one in found if one.name.startswith(SNAPSHOT)]

    def where(self, snapshot: Snapshot) -> Kept | None:
        """The snapshot in ZFS."""
        wanted = SNAPSHOT + snapshot.name
        return next((one for one in reversed(self.kept(snapshot.volume)) if one.name == wanted), None)

    # Out of sight

    def discard(self, dataset: str) -> None:
        """Free a dataset's name now; it is destroyed behind. Nothing happens when it is gone."""
        kind = dataset.removeprefix(f"{self.base}/").partition("/")[0]
        name = dataset.rpartition("/")[2] if kind == "images" else secrets.token_hex(8)
        with suppress(FileNotFoundError):
            try:
                zfs.rename(dataset, f"{self.base}/deleted/{kind}/{name}")
            except FileExistsError:
                zfs.rename(dataset, f"{self.base}/deleted/{kind}/{name}-{secrets.token_hex(8)}")
        self.sweep_behind()

    def discard_snapshot(self, snapshot: Snapshot) -> None:
        """Free a snapshot's name now, wherever it is. Nothing happens when it is gone."""
        of_volume = self.kept(snapshot.volume)
        for one in [kept for kept in of_volume if kept.name == SNAPSHOT + snapshot.name]:
            others = [kept for kept in of_volume if kept.dataset == one.dataset and kept != one]
            if one.dataset != self.of(snapshot.volume) and not others:
                self._discard_elsewhere(snapshot.volume, one.dataset, of_volume)
            else:
                self.discard_kept(one)

    def discard_kept(self, kept: Kept) -> None:
        """Free the name of a snapshot in ZFS; it goes with the last clone of it."""
        gone = Kept(kept.dataset, f"{DELETED}{secrets.token_hex(8)}")
        zfs.rename(kept.full, gone.full)
        self.release(gone)

    def discard_emptied(self, volume: Volume) -> None:
        """Discard the datasets that had snapshots of a volume, and have no more."""
        kept = self.kept(volume)
        used = {one.dataset for one in kept}
        for (name,) in zfs.tree([self.elsewhere(volume)], ["name"]):
            if name != self.elsewhere(volume) and name not in used:
                self._discard_elsewhere(volume, name, kept)

    def _discard_elsewhere(self, volume: Volume, dataset: str, kept: list[Kept]) -> None:
        """Discard a dataset with snapshots of a volume; the last one with what is above it."""
        above = self.elsewhere(volume)
        is_last = not any(one.dataset.startswith(f"{above}/") and one.dataset != dataset for one in kept)
        self.discard(above if is_last else dataset)

    def revive_image(self, fingerprint: str) -> bool:
        """Take an image back that was deleted, and that clones still need; whether there was one."""
        with self._sweeping:
            try:
                zfs.rename(f"{self.base}/deleted/images/{fingerprint}", self.image(fingerprint))
            except FileNotFoundError:
                return False
        return True

    # Behind

    def sweep_behind(self) -> None:
        """Have destroyed what is deleted and needed by nothing."""
        if not self._is_awaited:
            self._is_awaited = True
            self._trash.behind(self.sweep)

    def sweep(self) -> None:
        """Destroy it now, from the last clones on. What the kernel still uses is tried again, and else left."""
        self._is_awaited = False
        for pause in (*_PATIENCE, None):
            with self._sweeping:
                busy = self._sweep()
            if not busy:
                return
            if pause is not None:
                time.sleep(pause)
                continue
            for dataset in busy:
                seen = ", ".join(str(pid) for pid in zfs.holders(dataset)) or "nobody that can be seen"
                log.warning("Dataset %s is deleted but busy, and tried again later; it is seen by: %s", dataset, seen)

    def _sweep(self) -> list[str]:
        """Destroy all that can be, and name what is busy."""
        busy: set[str] = set()
        while True:
            try:
                rows = zfs.tree([f"{self.base}/deleted"], ["name", "clones"], "filesystem,snapshot")
            except (OSError, HostError) as error:
                log.warning("What is deleted in %s could not be listed: %s", self.base, error)
                return []
            is_done = True
            for dataset in _unused(rows, len(self.base.split("/")) + 2):
                if dataset not in busy:
                    try:
                        zfs.destroy(dataset)
                        is_done = False
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        if error.errno != errno.EBUSY:
                            log.warning("Dataset %s could not be destroyed: %s", dataset, error.strerror)
                        busy.add(dataset)
                    except HostError as error:
                        log.warning("Dataset %s could not be destroyed: %s", dataset, error.cause)
                        busy.add(dataset)
            if is_done:
                return sorted(busy)

    def _destroy_snapshots(self, dataset: str, names: list[str]) -> None:
        try:
            zfs.destroy_snapshots(dataset, names)
        except FileNotFoundError:
            return
        except (OSError, HostError) as error:  # at the next start
            log.info("Snapshots of %s could not be destroyed: %s", dataset, error)

    def tidy(self, rows: list[str]) -> None:
        """Let go of what copies and deleted snapshots of an earlier daemon have left; `rows` are all snapshots."""
        left: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            dataset, _, name = row.partition("@")
            if name.startswith((COPY, DELETED)) and not dataset.startswith(f"{self.base}/deleted/"):
                left[dataset].append(name)
        for dataset, names in left.items():
            self._trash.behind(lambda dataset=dataset, names=names: self._destroy_snapshots(dataset, names))


def _unused(rows: list[list[str]], least: int) -> list[str]:
    """Datasets, at least so deep, with none below them and no clone of their snapshots."""
    names = [name for name, _ in rows if "@" not in name]
    needed = {name.partition("@")[0] for name, clones in rows if "@" in name and clones not in ("", "-")}
    needed |= {name.rpartition("/")[0] for name in names}
    return [name for name in names if name not in needed and len(name.split("/")) > least]
