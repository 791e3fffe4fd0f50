"""ETags must be those of LXD: clients of both carry them."""

from __future__ import annotations

import hashlib

import pytest

from lightervisor.api import etag
from lightervisor.errors import PreconditionFailed


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_maps_are_sorted_html_is_escaped_and_a_newline_ends_it() -> None:
    assert etag.of(["d", {"b": "<&>", "a": "1"}]) == sha('["d",{"a":"1","b":"\\u003c\\u0026\\u003e"}]\n')


def test_maps_inside_maps_are_sorted_too() -> None:
    assert etag.of({"root": {"type": "disk", "path": "/"}}) == sha('{"root":{"path":"/","type":"disk"}}\n')


def test_the_separators_of_javascript_are_escaped() -> None:
    assert etag.of("\u2028\u2029é") == sha('"\\u2028\\u2029é"\n')


def test_an_instance_is_hashed_with_the_number_of_its_architecture() -> None:
    assert etag.of_instance("x86_64", {}, {}, False, []) == sha("[2,{},{},false,[]]\n")


@pytest.mark.parametrize("given", [None, "", "abc", '"abc"'])
def test_an_absent_or_equal_tag_passes(given: str | None) -> None:
    etag.check(given, "abc")


def test_another_tag_is_refused_in_the_words_of_lxd() -> None:
    with pytest.raises(PreconditionFailed, match="ETag doesn't match: abc vs xyz"):
        etag.check('"xyz"', "abc")
