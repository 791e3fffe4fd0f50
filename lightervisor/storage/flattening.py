"""Layers of an overlay pool that only lie between others are merged, so that no chain stays longer than it has to be.

A snapshot that goes leaves its layer to those made after it. When all that lie on such a layer lie on one other layer
that lies on it, the two become one. That is made beside them, of links, while whoever wants reads the old ones; then
each volume and snapshot is told, one by one, each in one moment. A daemon that is killed leaves some told and some
not, which is as good: all layers are there until nobody names them.

Nothing is merged below what is mounted, as it holds its layers, nor while somebody makes something of a chain that was
read. What had to wait is tried again when the last of these ends.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from lightervisor.errors import Failure
from lightervisor.kernel import mounts
from lightervisor.storage import merging
from lightervisor.storage.layers import FOLDER, Chain, PoolLayers
from lightervisor.storage.layout import PoolLayout

log = logging.getLogger(__name__)


class _Pair(NamedTuple):
    """Two trees of layers, one upon the other, and what both lie on."""

    upper: str
    lower: str
    below: tuple[str, ...]


class _Changed(Exception):
    """What was to be merged is not as it was, or in use, by now."""


class Flattening:
    """Merges the layers of one pool."""

    def __init__(self, layout: PoolLayout, layers: PoolLayers) -> None:
        self._layout, self._layers = layout, layers
        self._apart: set[_Pair] = set()
        self._is_due = False
        layers.when_unused(self.begin)

    def begin(self) -> None:
        """Merge what can be, behind, unless that is about to begin already."""
        if not self._is_due:
            self._is_due = True
            self._layout.trash.behind(self.run)

    def run(self) -> None:
        """Merge what can be merged now. What fails is told in the log, and changes nothing."""
        self._is_due = False
        try:
            while (pair := self._find()) is not None:
                try:
                    self._merge(pair)
                except merging.Renamed:
                    self._apart.add(pair)
        except _Changed:
            return
        except (Failure, OSError) as error:
            log.warning("layers of storage pool %s are not merged: %s", self._layout.root.name, error)

    def _find(self) -> _Pair | None:
        """Two layers to be merged; of those that have to wait the pool's layers will tell when they are unused."""
        chains = self._layers.chains()
        above: dict[str, set[str]] = {}
        below: dict[str, set[str]] = {}
        for chain in chains.values():
            for over, tree in zip(["", *chain.lowers], chain.lowers, strict=False):
                above.setdefault(tree, set()).add(over)
                below.setdefault(over, set()).add(tree)
        for chain in chains.values():
            for place, lower in enumerate(chain.lowers[1:], 1):
                pair = _Pair(chain.lowers[place - 1], lower, tuple(chain.lowers[place + 1 :]))
                is_alone = above[lower] == {pair.upper} and below[pair.upper] == {lower}
                if not is_alone or not lower.startswith(f"{FOLDER}/") or pair in self._apart:
                    continue
                if not self._waits(lower, chains):
                    return pair
        return None

    def _waits(self, lower: str, chains: Mapping[Path, Chain]) -> bool:
        over = [directory for directory, chain in chains.items() if lower in chain.lowers]
        if any(mounts.is_mountpoint(directory / "rootfs") for directory in over):
            self._layers.tell_when_unused()
            return True
        return False

    def _merge(self, pair: _Pair) -> None:
        upper, lower = (self._layout.root / tree for tree in pair[:2])
        with self._layout.making("layer") as place:
            shown = place / "rootfs"
            shown.mkdir()
            below = None
            if pair.below:
                self._layers.show(pair.below, "", shown, None)
                below = shown
            try:
                with self._layers.made(lambda target: merging.merge(upper, lower, below, target)) as layer:
                    self._layout.flush()
                    self._tell(pair, f"{layer}/upper")
            finally:
                mounts.umount(shown, lazy=True)

    def _tell(self, pair: _Pair, merged: str) -> None:
        """Let all lie on the new layer instead of the two. Raises _Changed when nobody was told."""
        with self._layers.lock:
            chains = self._layers.chains()
            over = {directory: chain for directory, chain in chains.items() if pair.lower in chain.lowers}
            if self._layers.are_read() or any(mounts.is_mountpoint(one / "rootfs") for one in over):
                self._layers.tell_when_unused()
                raise _Changed
            changed = {directory: _replaced(chain, pair, merged) for directory, chain in over.items()}
            if not changed or None in changed.values():
                raise _Changed
            told = 0
            try:
                for directory, chain in changed.items():
                    if chain is not None:
                        self._layers.write(directory, chain)
                        told += 1
            except OSError as error:
                if not told:
                    raise
                # The new layer has users, and so have the old ones: all of them stay, and this is not tried again.
                log.warning("layers of storage pool %s are merged in part: %s", self._layout.root.name, error)
                self._apart.add(pair)
            self._layers.drop(Chain(lowers=[pair.upper, pair.lower]))


def _replaced(chain: Chain, pair: _Pair, merged: str) -> Chain | None:
    """A chain with one layer instead of two; None when they do not lie upon each other there."""
    place = chain.lowers.index(pair.lower)
    if place == 0 or chain.lowers[place - 1] != pair.upper:
        return None
    return msgspec.structs.replace(chain, lowers=[*chain.lowers[: place - 1], merged, *chain.lowers[place + 1 :]])
