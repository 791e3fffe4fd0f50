"""ETags as LXD computes them: sha256 of the JSON of what a user can edit. Source: LXD, lxd/util EtagHash."""

import hashlib
from collections.abc import Sequence

import msgspec

from lightervisor.config import architectures
from lightervisor.errors import PreconditionFailed

# What Go's encoder writes differently: it escapes for HTML, and two line separators of JavaScript.
ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def of(fields: object) -> str:
    """The hash, without quotes, of a list of fields or of a whole object.

    Encoded as Go does: compact, maps sorted by key, structs in order of declaration, a newline at the end.
    """
    text = msgspec.json.encode(fields, order="deterministic").decode().translate(ESCAPED)
    return hashlib.sha256(text.encode() + b"\n").hexdigest()


def of_instance(
    architecture: str, config: object, devices: object, is_ephemeral: bool, profiles: Sequence[object]
) -> str:
    """The hash of an instance: its architecture's number, what it sets itself, and its whole profiles."""
    return of([architectures.NUMBERS.get(architecture, 0), config, devices, is_ephemeral, profiles])


def check(header: str | None, current: str) -> None:
    """Raise PreconditionFailed, with LXD's text, when an If-Match header names another state."""
    if not header:
        return
    given = header.strip('"')
    if given != current:
        raise PreconditionFailed("object", text=f"ETag doesn't match: {current} vs {given}")
