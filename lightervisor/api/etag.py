"""ETags as LXD computes them: sha256 of the JSON of the fields a user can edit. Source: LXD, lxd/util EtagHash."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from lightervisor.errors import PreconditionFailed


def of(fields: Sequence[object]) -> str:
    """The hash, without quotes. Maps are sorted by key as Go encodes them; <, > and & are escaped as Go does."""
    text = msgspec.json.encode([_sorted(field) for field in fields]).decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return hashlib.sha256(text.encode() + b"\n").hexdigest()


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        mapping: Mapping[str, object] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _sorted(mapping[key]) for key in sorted(mapping)}
    return value


def check(header: str | None, current: str) -> None:
    """Raise PreconditionFailed, with LXD's text, when an If-Match header names another state."""
    given = (header or "").strip('"')
    if given and given != current:
        raise PreconditionFailed("object", text=f"ETag doesn't match: {current} vs {given}")
