"""Parsers of what strangers write: each either understands it or refuses it with an error of ours, and soon."""

from __future__ import annotations

import io
import tracemalloc
from contextlib import suppress

import msgspec
from hypothesis import strategies as st

from lightervisor.api import filters
from lightervisor.config import architectures
from lightervisor.errors import Failure, Invalid
from lightervisor.images import metadata
from lightervisor.images.tar_members import members
from lightervisor.model.image import Image
from lightervisor.model.times import EPOCH
from tests.fuzz.examples import archives, damaged, documents, edited, written
from tests.fuzz.fuzzing import HANGS, fuzz

pytestmark = HANGS
METADATA = {
    "architecture": "x86_64",
    "creation_date": 1700000000,
    "expiry_date": 1800000000,
    "properties": {"os": "debian", "release": "12", "description": "Debian 12"},
    "templates": {
        "/etc/hostname": {
            "when": ["create", "copy"],
            "create_only": False,
            "template": "hostname.tpl",
            "properties": {"default": "x"},
        }
    },
}
FILTERS = [
    b"status eq Running",
    b'name eq "c.*" and not config.image.os eq debian or type ne container',
    b"properties.os eq ^(a|b)+$",
]
IMAGE = Image(fingerprint="0" * 64, properties={"os": "debian"}, created_at=EPOCH, uploaded_at=EPOCH)
MEMORY = 32 << 20
"""Most bytes that reading a few hundred kilobytes may take."""


def test_metadata() -> None:
    def target(text: bytes) -> None:
        with suppress(Invalid):
            found = metadata.parse(text)
            assert found.architecture in architectures.NUMBERS
            assert found.creation_date > 0

    fuzz("metadata", damaged(edited(METADATA).map(written)) | documents.map(written), target)


def test_tar_headers() -> None:
    def target(archive: bytes) -> None:
        stream = io.BytesIO(archive)
        with suppress(Invalid):
            for member in members(stream.read):
                assert 0 <= member.size < 1 << 63
                if member.size < len(archive):
                    assert len(member.data()) == member.size

    tracemalloc.start()
    try:
        fuzz("tar", damaged(archives()), target)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def test_filters() -> None:
    fields = msgspec.to_builtins(IMAGE)

    def target(text: bytes) -> None:
        with suppress(Failure):
            assert filters.passes(filters.parse(text.decode(errors="replace")), fields) in (True, False)

    fuzz("filters", damaged(st.sampled_from(FILTERS)), target)
