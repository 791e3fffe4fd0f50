"""Which cached images nobody uses any more, and what is left of downloads."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lightervisor.images.partial import KEPT_S, Partials
from lightervisor.images.upkeep import Upkeep
from lightervisor.model.image import Image
from lightervisor.model.times import now


@pytest.mark.parametrize(("days", "expired"), [("0", []), ("10", ["old"]), ("12", []), (str(10**15), [])])
def test_what_is_expired(days: str, expired: list[str]) -> None:
    def image(name: str, age_days: int, *, cached: bool = True) -> Image:
        return Image(fingerprint=name, cached=cached, uploaded_at=now() - timedelta(days=age_days))

    held = [image("old", 11), image("new", 9), image("own", 11, cached=False)]
    images = SimpleNamespace(list=lambda: held)
    unused = cast("Any", None)
    upkeep = Upkeep(cast("Any", images), unused, unused, lambda _key: days, unused)
    assert [one.fingerprint for one in upkeep.expired()] == expired


def test_what_no_download_goes_on_with_is_forgotten(tmp_path: Path) -> None:
    for name, age_s in (("a", KEPT_S + 60), ("b", 60)):
        (tmp_path / name).touch()
        then = time.time() - age_s
        os.utime(tmp_path / name, (then, then))
    Partials(tmp_path).forget_old()
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]
