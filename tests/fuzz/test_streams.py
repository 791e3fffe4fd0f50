"""Simplestreams documents: what is wrong in them is left out or refused, and nothing of theirs leads anywhere."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import strategies as st

from lightervisor.client import simplestreams
from lightervisor.config import architectures
from lightervisor.errors import Invalid
from lightervisor.model.decode import decode
from lightervisor.model.image import Image
from tests.fuzz.examples import damaged, documents, edited, written
from tests.fuzz.fuzzing import HANGS, fuzz
from tests.harness import streams

pytestmark = HANGS
INDEX = json.loads(streams.index("streams/v1/images.json", "streams/v1/more.json"))
PRODUCTS = json.loads(
    streams.products(
        streams.product("Debian", "bookworm", "amd64", "debian/12,debian/bookworm", "20260101_0524"),
        streams.product("ubuntu", "jammy", "arm64", "22.04,j", "20260228", label="release", support_eol="2027-04-21"),
    )
)
# What the readers use these texts for: places on a server, names of files, days.
TEXTS = st.sampled_from(
    ["../../x", "/etc/shadow", "a/../../b", "a%2fb", "\\x", "http://x/y", "a" * 5000, "0" * 64, "A" * 64, "f" * 63]
) | st.sampled_from(["amd64", "i686", "a,b,,", "a\0b", "x\n"])
DAYS = st.sampled_from(
    ["99999999", "00010101", "20260230", "20270229", "20260431_0000", "20261301", "2026-02-30", "\u0661" * 8, "2026"]
)


@st.composite
def replaced(draw: st.DrawFn, sample: object) -> bytes:
    """A document in which some of the texts, keys too, are others."""
    text = json.dumps(sample)
    words = [word for word in text.split('"')[1::2] if len(word) > 2]
    for _ in range(draw(st.integers(0, 3))):
        word = draw(st.sampled_from(words))
        text = text.replace(json.dumps(word), json.dumps(draw(DAYS if word[:4].isdecimal() else TEXTS)))
    return text.encode()


def _examples(sample: object) -> st.SearchStrategy[bytes]:
    return damaged(edited(sample).map(written)) | documents.map(written) | replaced(sample)


def test_simplestreams() -> None:
    def target(document: bytes) -> None:
        with suppress(Invalid):
            for path in simplestreams.product_paths(document):
                _assert_inside(path)
        try:
            images = simplestreams.images([document], architecture="x86_64", default_os="ubuntu")
        except Invalid:
            return
        for image in images:
            assert simplestreams.is_fingerprint(image["fingerprint"])
            assert image["architecture"] in architectures.NUMBERS
            assert "/" not in image["filename"]
            assert image["filename"] not in ("", ".", "..")
            for file in image["files"]:
                _assert_inside(file["path"])
                assert simplestreams.is_fingerprint(file["sha256"])
                assert file["size"] > 0
            decode(json.dumps({key: value for key, value in image.items() if key != "files"}).encode(), Image)
            assert simplestreams.find([image], image["fingerprint"][:12]) is image

    fuzz("simplestreams", replaced(PRODUCTS) | _examples(INDEX) | _examples(PRODUCTS), target)


def _assert_inside(path: str) -> None:
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))
    assert path.isprintable()
    assert ":" not in path
