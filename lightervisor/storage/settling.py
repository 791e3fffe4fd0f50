"""What came from elsewhere becomes the directory of a volume, in drivers whose volumes are mounted as a whole."""

import os
from pathlib import Path

from lightervisor.storage.layout import PoolLayout
from lightervisor.storage.mountpoint import Mountpoint, keep_root_alone


def settle(layout: PoolLayout, place: Path, what: str = "storage volume") -> None:
    """A volume, or an "image", keeps its root, and of what lies beside it regular files alone.

    `place` holds what was unpacked or received; the directory above is nobody else's. Raises Invalid for a root
    that is no directory.
    """
    layout.check_root(place, what, "build the image again" if what == "image" else "")
    beside = place.parent / "beside"
    beside.mkdir()
    layout.copy_beside(place, beside)
    keep_root_alone(place)
    layout.copy_beside(beside, place)
    os.chown(place, 0, 0)
    Mountpoint(place).make()
