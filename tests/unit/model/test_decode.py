"""Request bodies: read as forgivingly as Go's decoder does, refused with a sentence otherwise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.errors import Invalid
from lightervisor.model.decode import decode, without_nulls
from lightervisor.model.instance import InstancesPost
from lightervisor.model.profile import ProfilePut

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_null_is_as_if_it_were_not_there() -> None:
    post = decode(b'{"name":"c1","config":null,"devices":{"e":null},"profiles":null,"unknown":[1]}', InstancesPost)
    assert (post.name, post.config, post.devices, post.profiles) == ("c1", {}, {}, None)


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b'{"config":5}', b'{"config":{"a":1}}', b"\xff", b"[" * 5000])
def test_what_does_not_fit_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        decode(body, ProfilePut)
    assert refused.value.sentence().startswith("Request body: ")


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        decode(body, InstancesPost)
    except Invalid as refused:
        assert refused.sentence()


@given(JSON)
def test_no_null_is_left_in_a_map(value: object) -> None:
    def check(inner: object) -> None:
        if isinstance(inner, dict):
            assert None not in inner.values()
            for one in inner.values():
                check(one)

    check(without_nulls(value))
