"""Hypothesis with a clock: examples without end until the time is over, the failing one made small as ever.

`FUZZ_SECONDS` is how long each target is tried: some seconds in `make test`, as long as asked in `make fuzz
SECONDS=N`. A failing example is kept in .cache/fuzz and tried first the next time; the one that was being tried when
a run had to be ended stands in .cache/fuzz/NAME.last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.strategies import SearchStrategy

from tests.harness.processes import REPOSITORY

SECONDS = float(os.environ.get("FUZZ_SECONDS") or 7)
# A hang ends the run: hypothesis would take the exception of a signal for a failure, and try the same again.
HANGS = pytest.mark.timeout(SECONDS + 120, method="thread")
KEPT = REPOSITORY / ".cache" / "fuzz"
_AT_ONCE = 200
Example = TypeVar("Example")


def fuzz(name: str, examples: SearchStrategy[Example], target: Callable[[Example], None]) -> None:
    """Try a target with examples until the time is over; it fails by raising."""

    @settings(
        max_examples=_AT_ONCE,
        deadline=None,
        database=DirectoryBasedExampleDatabase(KEPT / name),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        print_blob=False,
    )
    @given(examples)
    def many(example: Example) -> None:
        if time.monotonic() > end and not failed:  # the rest of the last round
            return
        last.write_text(repr(example))
        try:
            target(example)
        except Exception:
            failed.append(True)
            raise

    KEPT.mkdir(parents=True, exist_ok=True)
    last = KEPT / f"{name}.last"
    failed: list[bool] = []  # then hypothesis needs more tries to make the example small
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        many()
