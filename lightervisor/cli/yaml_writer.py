"""Writes YAML as LXD's go-yaml does, byte for byte: plain where it can be, folded at 80 columns, lists not indented.

Own code because importing the library takes longer than most commands. A struct's keys keep the order the server gave
them; the keys of what is a map to Go (configuration, devices, whole events) are in go-yaml's natural order.
"""

from __future__ import annotations

from lightervisor.cli import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WIDTH = 80
_BOOLS = frozenset(
    (
        "y",
        "Y",
        "yes",
        "Yes",
        "YES",
        "on",
        "On",
        "ON",
        "n",
        "N",
        "no",
        "No",
        "NO",
        "off",
        "Off",
        "OFF",
        "true",
        "True",
        "TRUE",
        "false",
        "False",
        "FALSE",
        "null",
        "Null",
        "NULL",
        "~",
        "<<",
        ".nan",
        ".NaN",
        ".NAN",
        ".inf",
        ".Inf",
        ".INF",
        "+.inf",
        "+.Inf",
        "+.INF",
        "-.inf",
        "-.Inf",
        "-.INF",
    )
)
_NEVER_FIRST = frozenset("#,[]{}&*!|>'\"%@`")
# Go's nil slices are null in JSON and [] in YAML; everything else that is null is an empty map.
_LISTS = frozenset(
    (
        "backups",
        "snapshots",
        "profiles",
        "used_by",
        "aliases",
        "addresses",
        "rules",
        "ports",
        "projects",
        "members",
        "roles",
        "locations",
        "lower_devices",
        "upper_devices",
        "entries",
        "egress",
        "ingress",
        "groups",
        "backends",
        "when",
    )
)
# Fields that are maps of maps and scalars all the way down.
_MAPS = frozenset(
    (
        "config",
        "devices",
        "expanded_config",
        "expanded_devices",
        "kernel_features",
        "lxc_features",
        "metadata",
        "properties",
    )
)
# Fields that are maps whose values are structs.
_MAPS_OF_STRUCTS = frozenset(("templates",))


def dump(value: Any, *, is_map: bool = False) -> str:
    """The document of a value made of dicts, lists, strings, numbers and booleans.

    `is_map` says that the value is no struct to LXD's client: sorted, its times plain strings, its nulls null.
    """
    if isinstance(value, dict) and value:
        return _mapping(value, 0, is_map)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list) and value:
        return _sequence(value, 0, is_map)  # pyright: ignore[reportUnknownArgumentType]
    return _inline(value, 0, 0) + "\n"


def _mapping(mapping: dict[str, Any], indent: int, is_map: bool) -> str:
    lines: list[str] = []
    for key in sorted(mapping, key=_Key) if is_map else mapping:
        value = mapping[key]
        head = " " * indent + _key(str(key)) + ":"
        if not is_map:
            # YAML has times of its own: not quoted, as a string that looks like one would be.
            if key in units.TIMES and isinstance(value, str) and _is_date(value):
                lines.append(f"{head} {units.shorten(value)}\n")
                continue
            if value is None:
                lines.append(head + (" []\n" if key in _LISTS else " {}\n"))
                continue
        is_map_below = is_map or key in _MAPS
        if isinstance(value, dict) and value:
            if key in _MAPS_OF_STRUCTS and not is_map:
                value = {name: value[name] for name in sorted(value, key=_Key)}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            lines.append(head + "\n" + _mapping(value, indent + 2, is_map_below))  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list) and value:
            lines.append(head + "\n" + _sequence(value, indent, is_map_below))  # pyright: ignore[reportUnknownArgumentType]
        else:
            lines.append(head + " " + _inline(value, indent, len(head) + 1) + "\n")
    return "".join(lines)


class _Key:
    """A key in go-yaml's order."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __lt__(self, other: _Key) -> bool:
        return _compare(self._text, other._text) < 0


def _compare(one: str, other: str) -> int:
    """go-yaml's order of keys: numbers by value, letters after everything else."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a == b:
            continue
        if a.isalpha() or b.isalpha():
            if a.isalpha() and b.isalpha():
                return -1 if a < b else 1
            return -1 if b.isalpha() else 1
        return _compare_numbers(one, other, index)
    return len(one) - len(other)


def _compare_numbers(one: str, other: str, index: int) -> int:
    """As `_compare`, where the first difference is at `index` and neither character is a letter."""
    start = index
    while start and one[start - 1].isdecimal():
        start -= 1
    # Behind other digits a zero counts as one; else it leads, and is worth nothing.
    lead = "1" if "0" in (one[index], other[index]) and one[start:index].strip("0") else ""
    ends = [_end_of_digits(text, index) for text in (one, other)]
    numbers = [int(lead + text[index:end] or "0") for text, end in zip((one, other), ends, strict=True)]
    if numbers[0] != numbers[1]:
        return numbers[0] - numbers[1]
    if ends[0] != ends[1]:
        return ends[0] - ends[1]
    return -1 if one[index] < other[index] else 1


def _end_of_digits(text: str, index: int) -> int:
    while index < len(text) and text[index].isdecimal():
        index += 1
    return index


def _sequence(items: list[Any], indent: int, is_map: bool) -> str:
    lines: list[str] = []
    pad = " " * indent
    for item in items:
        if isinstance(item, dict) and item:
            body = _mapping(item, indent + 2, is_map)  # pyright: ignore[reportUnknownArgumentType]
            lines.append(pad + "- " + body[indent + 2 :])
        elif isinstance(item, list) and item:
            body = _sequence(item, indent + 2, is_map)  # pyright: ignore[reportUnknownArgumentType]
            lines.append(pad + "- " + body[indent + 2 :])
        else:
            lines.append(pad + "- " + _inline(item, indent, indent + 2) + "\n")
    return "".join(lines)


def _key(key: str) -> str:
    text = _inline(key, 0, -(1 << 30))
    return text if "\n" not in text else _double(key)


def _inline(value: Any, indent: int, column: int) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    return _string(str(value), indent + 2, column)


def _string(text: str, indent: int, column: int) -> str:
    if not text or _reads_as_other(text):
        return '""' if not text else _double(text)
    if not _is_printable(text):
        return _double(text)
    if "\n" in text:
        return _double(text) if " \n" in text or text.endswith(" ") or not text.strip() else _literal(text, indent)
    if _can_be_plain(text):
        return _fold(text, indent, column)
    return _fold("'" + text.replace("'", "''") + "'", indent, column)


def _reads_as_other(text: str) -> bool:
    """Whether YAML 1.1 would read it as something else than a string."""
    if text in _BOOLS:
        return True
    if text[0] not in "0123456789+-.":
        return False
    number = text.replace("_", "")
    try:
        float(number)
    except ValueError:
        pass
    else:
        return not number.lstrip("+-").lower().startswith(("inf", "nan"))
    return _is_based(number) or _is_base60(text) or _is_date(text)


def _is_based(number: str) -> bool:
    digits = number.lstrip("+-").lower()
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8)):
        if digits.startswith(prefix):
            try:
                int(digits[2:], base)
            except ValueError:
                return False
            return True
    return False


def _is_base60(text: str) -> bool:
    head, colon, tail = text.lstrip("+-").partition(":")
    parts = tail.split(":")
    last = parts[-1].split(".")[0]
    if not (colon and head.isdecimal()):
        return False
    return all(part.isdecimal() and len(part) < 3 and int(part) < 60 for part in (*parts[:-1], last))


def _is_date(text: str) -> bool:
    parts = text[:10].split("-")
    if len(parts) != 3 or [len(p) for p in parts] != [4, 2, 2] or not all(p.isdecimal() for p in parts):
        return False
    return len(text) == 10 or (text[10:11] in ("T", "t", " ") and ":" in text)


def _is_printable(text: str) -> bool:
    return all(c == "\n" or _is_shown(c) for c in text)


def _is_shown(char: str) -> bool:
    """Whether a character stands for itself; go-yaml writes no emoji."""
    return (char.isprintable() and char <= "\uffff") or char == "\xa0"


def _can_be_plain(text: str) -> bool:
    first, after = text[0], text[1:2]
    if first in _NEVER_FIRST or text != text.strip(" "):
        return False
    if first in "-?:" and after in ("", " "):
        return False
    return not (": " in text or " #" in text or text.endswith(":") or text.startswith(("---", "...")))


def _literal(text: str, indent: int) -> str:
    hint = "2" if text[0] in " \n" else ""
    chomp = "-" if not text.endswith("\n") else "+" if text.endswith("\n\n") or text == "\n" else ""
    body = text.removesuffix("\n")
    lines = [" " * indent + line if line else "" for line in body.split("\n")]
    return f"|{hint}{chomp}\n" + "\n".join(lines)


def _fold(text: str, indent: int, column: int) -> str:
    """Break at single spaces beyond the 80th column, as libyaml's emitter does."""
    if column + len(text) <= _WIDTH:
        return text
    out: list[str] = []
    was_space = False
    for index, char in enumerate(text):
        follows = text[index + 1 : index + 2]
        if char == " " and column > _WIDTH and not was_space and 0 < index < len(text) - 1 and follows != " ":
            out.append("\n" + " " * indent)
            column = indent
        else:
            out.append(char)
            column += 1
        was_space = char == " "
    return "".join(out)


_ESCAPES = {
    **{"\0": "\\0", "\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"},
    **{"\x1b": "\\e", '"': '\\"', "\\": "\\\\", "\x85": "\\N", "\u2028": "\\L", "\u2029": "\\P"},
}


def _double(text: str) -> str:
    return '"' + "".join(_escape(char) for char in text) + '"'


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if _is_shown(char):
        return char
    code = ord(char)
    return f"\\x{code:02X}" if code < 256 else f"\\u{code:04X}" if code < 65536 else f"\\U{code:08X}"
