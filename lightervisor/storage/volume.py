"""What drivers keep: volumes and snapshots by their names, and what is being filled."""

from collections.abc import Generator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lightervisor.errors import Invalid

VolumeKind = Literal["containers", "custom"]
PASSING = "arriving "
"""How the names begin of volumes that are no instance's yet; with this blank they are nobody's name."""


class Volume(Struct, frozen=True):
    """A volume of a pool; `name` is its directory: <project>_<name>, or the bare name in project default."""

    kind: VolumeKind
    name: str

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or "/" in self.name or "\0" in self.name:
            raise Invalid("volume", self.name, cause="this cannot be the name of a directory")


class Snapshot(Struct, frozen=True):
    """A snapshot of a volume, by its own name."""

    volume: Volume
    name: str

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or "/" in self.name or "\0" in self.name:
            raise Invalid("snapshot", self.name, cause="this cannot be the name of a directory")


class Filling(Struct, frozen=True):
    """A volume or snapshot that is being filled: its directory, whose `rootfs` has plain owners and can be written to.

    What it is like is in it already, or may be linked to from `twin`, a root that nobody changes any more.
    """

    directory: Path
    twin: Path | None = None

    def until_done(self, target: Volume | Snapshot) -> Generator["Filling", None, Volume | Snapshot]:
        """For drivers, whose `filling` yields from this: where what came is to be, the target or what was told."""
        try:
            yield self
        except PostponedError as postponed:
            return postponed.volume
        return target


class PostponedError(Exception):
    """Raised while something is filled: what has come so far is to be this volume, and the target stays as it is."""

    def __init__(self, volume: Volume) -> None:
        super().__init__(volume.name)
        self.volume = volume
