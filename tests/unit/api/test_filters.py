"""The filter language."""

from __future__ import annotations

import asyncio
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.api import filters
from lightervisor.errors import Failure

C1 = {
    "name": "c1",
    "note": "(Ab",
    "devices": {"root": {"path": "/"}},
    "status": "Running",
    "ephemeral": True,
    "config": {"image.os": "Debian GNU", "user.a": "x.y"},
}
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"], exclude_characters='"^$'), min_size=1, max_size=12)


def passes(text: str) -> bool:
    return filters.passes(filters.parse(text), C1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("name eq c1", True),
        ("name eq C1", True),
        ("name eq c", False),
        ("name eq c.*", True),
        ("name eq ^c", True),
        ("name ne c1", False),
        ("not name eq c1", False),
        ("not name ne c1", True),
        ("name is c1", True),
        ('config.image.os eq "debian gnu"', True),
        (r"config.user.a eq x\.y", True),
        (r"config.user.a eq x\dy", False),
        ("ephemeral eq true", False),
        ("missing eq x", False),
        ("missing ne x", True),
        ("missing eq ^$", False),
        ("config.missing eq ^$", True),
        ("devices.root.missing eq ^$", True),
        ("devices.eth0.missing eq ^$", False),
        ("name eq b|c1", True),
        ("name eq c|x", True),
        ("name eq (", False),
        ("note eq (AB", True),
        (r"name eq c\d\z", True),
        ("name eq [[:alpha:]]1", True),
        ("name eq (?-i)C1", False),
        ("name eq (?=c)c1", False),
        (r"name eq \pL\d", True),
        ("name eq *", True),
        (r"name eq c\C", False),
        (r"name eq c\\?1", True),
        ("name eq \udc80", False),
        ("name eq c2 and status eq Running or status eq running", True),
        ("status eq running or name eq c1 and name eq c2", False),
    ],
)
def test_clauses_are_taken_from_left_to_right(text: str, expected: bool) -> None:
    assert passes(text) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name", "clause has no operator"),
        ("name eq", "clause has no value"),
        ("name eq c1 c2", "invalid clause composition"),
        ("name eq c1 and", "unterminated compound clause"),
        ("not", "incomplete not clause"),
        ('name eq "c1', "unterminated quote"),
        ("x" * 5000, "longer"),
        ("name eq " + r"\pL{1000}" * 400, "too large"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Failure, match=reason):
        filters.parse(text)


@given(WORDS)
def test_a_quoted_value_matches_itself_and_ne_is_its_opposite(value: str) -> None:
    quoted = f'"{re.escape(value)}"'
    fields = {"name": value}
    assert filters.passes(filters.parse(f"name eq {quoted}"), fields)
    assert not filters.passes(filters.parse(f"name ne {quoted}"), fields)


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_a_failure_of_ours(text: str) -> None:
    try:
        clauses = filters.parse(text)
    except Failure:
        return
    assert filters.passes(clauses, C1) in (True, False)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["and", "or"])), min_size=1, max_size=8))
def test_joining_words_fold_from_the_left(parts: list[tuple[bool, str]]) -> None:
    expected = parts[0][0]
    text = f"name eq {'c1' if parts[0][0] else 'c2'}"
    for is_true, joint in parts[1:]:
        text += f" {joint} name eq {'c1' if is_true else 'c2'}"
        expected = (expected and is_true) if joint == "and" else (expected or is_true)
    assert passes(text) is expected


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a*)*b", "a*a*a*a*a*a*a*b", "(x?){400}y"])
def test_no_expression_runs_away(pattern: str) -> None:
    begun = time.process_time()
    fields = {"name": "a" * 400}
    assert not filters.passes(filters.parse(f"name eq {pattern}"), fields)
    assert time.process_time() - begun < 1


def test_many_objects_take_no_longer_than_their_text() -> None:
    objects = [{"name": "a" * 1000}] * 1000
    begun = time.process_time()
    assert asyncio.run(filters.matching("name eq (a?){30}a*b", objects)) == []
    assert time.process_time() - begun < 5
