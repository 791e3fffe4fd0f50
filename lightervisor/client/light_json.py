"""JSON without the `json` package: its import costs a command line as much as the whole request does.

The C scanner and encoder behind `json` are used directly; `json` itself is the fall-back of interpreters without them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _ScannerOptions:
    """What the C scanner reads from the decoder object it is given."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _make() -> tuple[Callable[[str, int], tuple[Any, int]], Callable[[Any], str]]:
    try:
        import _json

        context: Any = _ScannerOptions()
        scan = _json.make_scanner(context)
        encode = _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, True)
    except (ImportError, AttributeError, TypeError):
        import json

        decoder: Any = json.JSONDecoder()
        return decoder.scan_once, json.dumps
    return scan, lambda value: "".join(encode(value, 0))


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON form")


_scan, dumps = _make()


def loads(text: bytes | str) -> Any:
    """The value of a JSON document; raises ValueError when it is not one."""
    if isinstance(text, (bytes, bytearray)):
        text = text.decode()
    text = text.strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise ValueError(f"no JSON value at character {error.value}") from None
    if end != len(text):
        raise ValueError(f"unexpected text after the JSON value at character {end}")
    return value


def as_map(value: Any) -> dict[str, Any]:
    """An object of an answer; Go writes an empty map as null."""
    return value or {}


def as_list(value: Any) -> list[Any]:
    """A list of an answer; Go writes an empty one as null."""
    return value or []
