"""metadata.yaml: what images have is read, bombs and nonsense are refused quickly."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.config import architectures
from lightervisor.errors import Invalid
from lightervisor.images import metadata

GOOD = b"architecture: amd64\ncreation_date: 1700000000\n"
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(8)
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def test_what_an_image_has_is_read() -> None:
    found = metadata.parse(
        GOOD + b"expiry_date: 1800000000\nproperties: {os: Debian, release: 12, lts: true, date: 2026-11-21}\n"
        b"templates:\n  /etc/hostname: {when: [create, copy], template: hostname.tpl, create_only: true}\n"
    )
    assert (found.architecture, found.creation_date, found.expiry_date) == ("x86_64", 1700000000, 1800000000)
    assert found.properties == {"os": "Debian", "release": "12", "lts": "true", "date": "2026-11-21"}
    template = found.templates["/etc/hostname"]
    assert template is not None
    assert template.create_only


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not a mapping"),
        (b"creation_date: 1\n", "Missing architecture"),
        (b"architecture: x86_64\n", "Missing creation date"),
        (b"architecture: vax\ncreation_date: 1\n", "isn't supported: vax"),
        (b"architecture: [x86_64]\ncreation_date: 1\n", "cannot be read"),
        (b"architecture: x86_64\ncreation_date: soon\n", "cannot be read"),
        (GOOD + b"properties: [a]\n", "cannot be read"),
        (GOOD + b"templates: {/x: {when: 5}}\n", "cannot be read"),
        (GOOD + b"a: !!python/object/apply:os.system [id]\n", "cannot be read"),
        (b"a: [\n", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (BOMB + GOOD, "aliases"),
        (GOOD + b"x: " + b"[" * 60 + b"]" * 60, "nested"),
        (GOOD + b"x: " + b"[" * 100_000, "nested"),
        (GOOD + b"".join(b" " * n + b"a:\n" for n in range(1400)), "nested"),
        (GOOD + b"x: a\0b", "cannot be read"),
        (GOOD + b"\0" * 1000, "cannot be read"),
        (b"architecture: x86_64\ncreation_date: .nan\n", "cannot be read"),
        (b"architecture: x86_64\ncreation_date: .inf\n", "cannot be read"),
        (b"architecture: x86_64\ncreation_date: 2026-11-21\n", "cannot be read"),
        (b"architecture: x86_64\ncreation_date: 1e400\n", "cannot be read"),
        (b"architecture: x86_64\ncreation_date: -5\n", "Missing creation date"),
        (b"architecture: 5\ncreation_date: 1\n", "cannot be read"),
        (GOOD + b"properties: [null]\n", "cannot be read"),
        (GOOD + b"properties: {a: [null]}\n", "cannot be read"),
        (GOOD + b"templates: {/x: {when: [null]}}\n", "cannot be read"),
        (GOOD + b"templates: [{}]\n", "cannot be read"),
        (GOOD + b"x: !!timestamp 9999-99-99\n", "cannot be read"),
        (GOOD + b"? [a, b]\n: c\n", "cannot be read"),
        (GOOD + b"--- \nanother: document\n", "cannot be read"),
        (GOOD + b"x: " + b"a" * (1 << 20), "larger"),
    ],
)
def test_what_is_no_metadata_is_refused(text: bytes, reason: str) -> None:
    before = time.process_time()
    with pytest.raises(Invalid) as refused:
        metadata.parse(text)
    assert reason in refused.value.sentence()
    assert time.process_time() - before < 1


@pytest.mark.parametrize(
    "text",
    [
        GOOD + b"expiry_date: null\nproperties: null\ntemplates: null\n",
        GOOD + b"templates: {/x: null}\n",
        GOOD + b"templates: {/x: {when: null, template: null, properties: null}}\n",
        GOOD + b"1: name\n2026-11-21: name\n? null\n: name\n",
        GOOD + b"properties: {1: one, 2026-11-21: day, true: yes, nan: .nan}\n",
        b"architecture: vax\n" + GOOD,
    ],
)
def test_what_is_only_odd_is_read(text: bytes) -> None:
    """Nothing where a list or mapping should be, names that are no text, a key twice, of which the last counts."""
    found = metadata.parse(text)
    assert (found.architecture, found.expiry_date) == ("x86_64", 0)
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in found.properties.items())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        metadata.parse(text)
    except Invalid as refused:
        assert refused.sentence()


@given(DOCUMENTS)
def test_any_document_is_read_or_refused(document: object) -> None:
    try:
        found = metadata.parse(yaml.safe_dump(document).encode())
    except Invalid:
        return
    assert found.architecture in architectures.NUMBERS


@given(DOCUMENTS)
def test_any_properties_are_read_as_words_or_refused(properties: object) -> None:
    text = yaml.safe_dump({"architecture": "x86_64", "creation_date": 1, "properties": properties}).encode()
    try:
        found = metadata.parse(text)
    except Invalid:
        return
    assert all(isinstance(word, str) for pair in found.properties.items() for word in pair)
