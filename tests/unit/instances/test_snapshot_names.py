"""Names of snapshots."""

from __future__ import annotations

import pytest

from lightervisor.config import numbering
from lightervisor.errors import Invalid
from lightervisor.instances import snapshot_names


@pytest.mark.parametrize(
    ("pattern", "known", "wanted"),
    [
        ("snap%d", [], "snap0"),
        ("snap%d", ["snap0", "snap7", "snapx", "snap8x", "xsnap9"], "snap8"),
        ("a%db", ["a1b", "a2"], "a2b"),
        ("daily", [], "daily"),
        ("daily", ["daily"], "daily-0"),
        ("daily", ["daily", "daily-0", "daily-3"], "daily-4"),
        ("a.c%d", ["abc4"], "a.c0"),
        ("n%d", ["n99999999999999"], "n0"),
    ],
)
def test_the_next_name(pattern: str, known: list[str], wanted: str) -> None:
    assert numbering.following(pattern, known) == wanted


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "a b", "a\tb", "a\x7f", "a\u202eb", "x" * 256, "ü" * 128])
def test_what_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        snapshot_names.check(name)


@pytest.mark.parametrize("name", ["snap0", "2026-11-21_10:00", "ü%d", "x" * 255, "...", "-x"])
def test_what_can_be_one(name: str) -> None:
    snapshot_names.check(name)


def test_two_numbers_are_refused() -> None:
    with pytest.raises(Invalid, match="only once"):
        numbering.following("%d-%d", [])
