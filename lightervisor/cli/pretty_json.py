"""JSON for people, as Go's encoder indents it: one tab a level, a line for each element, only what must be escaped.

The standard library's indenting encoder would cost a command its whole start-up time again.
"""

from __future__ import annotations

from _json import encode_basestring as _quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Go has no short escapes for these two, and spares JavaScript the two separators.
_GO = {"\b": "\\u0008", "\f": "\\u000c", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def dump(value: Any, *, sort: bool = False) -> str:
    """The document of a value made of dicts, lists, strings, numbers, booleans and None; no end of line.

    With `sort` the keys are in order, as Go writes a map; without it they stay as they came.
    """
    out: list[str] = []
    _write(value, "\n", out, sort)
    return "".join(out)


def _write(value: Any, line: str, out: list[str], sort: bool) -> None:
    if isinstance(value, dict):
        pairs: list[tuple[str, Any]] = list(value.items())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        _write_all([(text(key) + ": ", one) for key, one in (sorted(pairs) if sort else pairs)], "{}", line, out, sort)
    elif isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        _write_all([("", one) for one in items], "[]", line, out, sort)
    else:
        out.append(_scalar(value))


def _write_all(items: list[tuple[str, Any]], brackets: str, line: str, out: list[str], sort: bool) -> None:
    if not items:
        out.append(brackets)
        return
    inner, mark = line + "\t", brackets[0]
    for head, item in items:
        out.append(mark + inner + head)
        _write(item, inner, out, sort)
        mark = ","
    out.append(line + brackets[1])


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def text(string: str) -> str:
    """A string with its quotes."""
    for char, escape in _GO.items():
        if char in string:
            return escape.join(text(part)[1:-1] for part in string.split(char)).join('""')
    return _quote(string)
