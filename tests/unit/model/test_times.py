"""Times of files: a guest chooses them."""

from __future__ import annotations

import pytest

from lightervisor.model import times


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (-1, "1969-12-31T23:59:59+00:00"),
        (9_999_999_999_999, "9999-12-31T23:59:59+00:00"),
        (-9_999_999_999_999, "0001-01-01T00:00:00+00:00"),
    ],
)
def test_a_time_that_cannot_be_written_is_the_nearest_that_can(seconds: int, written: str) -> None:
    assert times.of_file(seconds * 10**9).isoformat() == written
