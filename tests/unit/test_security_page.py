"""The page of attacks and their tests: no number is missing, and every test that it names exists."""

from __future__ import annotations

import re

import pytest

from tests.harness.processes import REPOSITORY

PAGE = REPOSITORY / "docs/security-tests.md"
ROWS = {
    number: re.findall(r"`([a-z0-9_/]+\.py)::(\w+)`", rest)
    for number, rest in re.findall(r"^\| (\d[\w, ]*) \|(.*)$", PAGE.read_text(), re.MULTILINE)
}
NUMBERED = re.compile(r"def (test_(1[6-9]|2[0-9]|3[0-3])_\w+)")


def test_no_attack_is_missing() -> None:
    assert [number for number in ROWS if number.isdecimal()] == [str(number) for number in (*range(16, 34), 44)]


@pytest.mark.parametrize("number", ROWS)
def test_every_attack_has_tests_that_exist(number: str) -> None:
    assert ROWS[number]
    for file, name in ROWS[number]:
        assert re.search(rf"^(async )?def {name}\(", (REPOSITORY / "tests" / file).read_text(), re.MULTILINE), name


def test_what_a_tests_name_says_is_where_the_page_has_it() -> None:
    for number, tests in ROWS.items():
        for _, name in tests:
            told = NUMBERED.match(f"def {name}")
            assert told is None or told[2] == number, name
