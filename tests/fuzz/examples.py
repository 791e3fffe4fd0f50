"""Bytes that are nearly right: valid documents and archives with things changed in the middle of them."""

from __future__ import annotations

import json
import tarfile
from typing import Any

from hypothesis import strategies as st

_MOST = 1 << 63
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-_MOST, _MOST)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(
        ["../../x", "/etc/shadow", "%", "0" * 64, "x" * 64, "1e309", "\u0661", "\0", "${x}", "!!python/object:x"]
    )
)
documents: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5)
)
"""Anything that JSON or YAML can say."""


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Some bytes with pieces of them replaced, cut out, repeated or put in."""
    text = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 40)))
        piece = bytes(text[start:stop])
        text[start:stop] = draw(st.sampled_from([b"", piece * 3, b"\0", b"\xff\xff"]) | st.binary(max_size=16))
    return bytes(text)


@st.composite
def edited(draw: st.DrawFn, sample: Any) -> Any:
    """A document like the sample, in which some values are something else, or gone."""
    if draw(st.integers(0, 15)) == 0:
        return draw(documents)
    if isinstance(sample, dict):
        kept: dict[str, Any] = {}
        for key, value in sample.items():  # pyright: ignore[reportUnknownVariableType]  # JSON
            if draw(st.integers(0, 15)):
                kept[str(key)] = draw(edited(value))  # pyright: ignore[reportUnknownArgumentType]
        return kept
    if isinstance(sample, list):
        return [draw(edited(value)) for value in sample]  # pyright: ignore[reportUnknownVariableType]
    return sample


def written(document: Any) -> bytes:
    """JSON, which is YAML too, with what Python adds to it (NaN)."""
    return json.dumps(document).encode(errors="surrogatepass")


_names = st.text(max_size=120) | st.sampled_from(
    ["metadata.yaml", "./metadata.yaml", "rootfs", "rootfs/x", "templates", "../x", "/x", "rootfs/../../x"]
)
_types = st.sampled_from([bytes((code,)) for code in b"01234567xgLKSVM\0D"])


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A tar archive of some members, with headers of every kind."""
    parts: list[bytes] = []
    for _ in range(draw(st.integers(0, 5))):
        info = tarfile.TarInfo(draw(_names))
        info.type, info.linkname = draw(_types), draw(_names)
        info.size = draw(st.sampled_from([0, 1, 511, 512, 513]) | st.integers(0, 1 << 70))
        info.mode, info.uid = draw(st.integers(0, 0o7777)), draw(st.integers(0, 1 << 40))
        info.pax_headers = draw(
            st.dictionaries(st.sampled_from(["path", "size", "GNU.sparse.name"]), st.text(max_size=9))
        )
        kind = tarfile.GNU_FORMAT if draw(st.booleans()) else tarfile.PAX_FORMAT
        parts.append(info.tobuf(kind, errors="surrogateescape") + draw(st.binary(max_size=600)))
    return b"".join(parts) + bytes(draw(st.sampled_from([0, 512, 1024])))
