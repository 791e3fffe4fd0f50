"""Places that hang."""

from __future__ import annotations

import threading
from pathlib import Path

from lightervisor.kernel.patience import Lookout


def test_a_place_that_hangs_holds_nothing_up_and_is_asked_once() -> None:
    answered, asked = threading.Event(), list[str]()

    def look(place: Path) -> str:
        asked.append(place.name)
        if place.name == "hangs":
            answered.wait()
        if place.name == "gone":
            raise FileNotFoundError
        return place.name

    lookout = Lookout(look, 0.05)
    places = [Path("a"), Path("hangs"), Path("gone"), Path("a")]
    try:
        for _ in range(2):
            assert lookout.look(places) == {Path("a"): "a"}
        assert asked.count("hangs") == 1 and asked.count("gone") == 2
    finally:
        answered.set()
    while any(thread.name == "look-hangs" for thread in threading.enumerate()):
        threading.Event().wait(0.001)
    assert lookout.look(places) == {Path("a"): "a", Path("hangs"): "hangs"}
