"""What the image store and the pools hold, to be compared before and after."""

from __future__ import annotations

from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


def leftovers(daemon: Daemon) -> set[str]:
    """Every file of the image store and of the pools' images and containers, once the pools' trash is empty."""
    trash = list(daemon.state.glob("storage-pools/*/trash"))
    eventually(lambda: not any(any(place.iterdir()) for place in trash), what="the trash to be emptied")
    places = [daemon.state / "images", *daemon.state.glob("images/.incoming"), *daemon.state.glob("storage-pools/*/*")]
    return {str(entry) for place in places if place.is_dir() for entry in place.iterdir()}
