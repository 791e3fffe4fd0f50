"""JSON as Go's encoder indents it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.cli import pretty_json

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=15,
)


@given(VALUES)
def test_what_is_written_reads_back(value: object) -> None:
    assert json.loads(pretty_json.dump(value)) == value
    assert json.loads(pretty_json.dump(value, sort=True)) == value


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<a>&é😀", '"<a>&é😀"'),
        ('"\\\t\n\r', r'"\"\\\t\n\r"'),
        ("\b\f\x01\x7f", '"\\u0008\\u000c\\u0001\x7f"'),
        ("\u2028\u2029", r'"\u2028\u2029"'),
        ("a\\b", r'"a\\b"'),
    ],
)
def test_only_what_go_escapes_is_escaped(text: str, written: str) -> None:
    assert pretty_json.dump(text) == written
