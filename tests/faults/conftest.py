"""A daemon whose effects can be made to fail, and what launching and deleting on it are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import watched
from tests.faults.work import Work
from tests.harness import images
from tests.harness.faults import Faults


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """A daemon of the test's own, set up, with a small image in its store and in its pool."""
    faults = Faults(tmp_path / "faults")
    for daemon in watched(lambda daemon: daemon.start().initialise(), faults.daemon):
        data = images.unified(tmp_path / "image.tar.gz", extra={}).read_bytes()
        added = daemon.operation("POST", "/1.0/images", data)
        assert added["status"] == "Success", added
        prepared = Work(faults, added["metadata"]["fingerprint"])
        prepared.effects_of_launch()
        yield prepared
        faults.disarm()
