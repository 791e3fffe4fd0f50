"""Events as log lines, as logrus' text formatter writes them: `time=… level=… msg=…`, coloured on a terminal."""

from __future__ import annotations

import posix

from lightervisor.cli import units
from lightervisor.cli.errors import CommandError
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Fields = dict[str, Any]

_LEVELS = {
    **{"panic": 0, "fatal": 1, "error": 2, "warn": 3, "warning": 3},
    **{"info": 4, "debug": 5, "trace": 6},
}
_RED, _YELLOW, _CYAN, _GREY = 31, 33, 36, 37
_COLOURS = (_RED, _RED, _RED, _YELLOW, _CYAN, _GREY, _GREY)
_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/@^+")
_ESCAPES = {
    **{"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"},
    **{'"': '\\"', "\\": "\\\\"},
}


def drawer(level: str) -> Callable[[Fields], str]:
    """What makes a line of an event; an event below the level is an empty text. Raises CommandError."""
    if level and level.lower() not in _LEVELS:
        raise CommandError(f'not a valid logrus Level: "{level}"')
    limit = _LEVELS[level.lower()] if level else _LEVELS["trace"]
    has_colours = posix.isatty(1)

    def draw(event: Fields) -> str:
        name, message, fields = _record(event)
        rank = _LEVELS.get(name, _LEVELS["info"])
        if rank > limit:
            return ""
        time = _time(str(event.get("timestamp", "")))
        return _coloured(rank, name, time, message, fields) if has_colours else _plain(name, time, message, fields)

    return draw


def _record(event: Fields) -> tuple[str, str, Fields]:
    """Level, message and fields."""
    metadata: Fields = as_map(event.get("metadata"))
    kind = event.get("type")
    if kind == "lifecycle":
        return "info", _of_lifecycle(metadata), as_map(metadata.get("context"))
    if kind == "operation":
        return "info", _of_operation(metadata), _fields_of_operation(metadata)
    return str(metadata.get("level", "info")), str(metadata.get("message", "")), as_map(metadata.get("context"))


def _of_lifecycle(metadata: Fields) -> str:
    text = f"Action: {metadata.get('action', '')}, Source: {metadata.get('source', '')}"
    who = metadata.get("requestor")
    if not who:
        return text
    return f"{text}, Requestor: {who.get('protocol', '')}/{who.get('username', '')} ({who.get('address', '')})"


def _of_operation(operation: Fields) -> str:
    words = (("ID", "id"), ("Class", "class"), ("Description", "description"))
    return ", ".join(f"{title}: {operation.get(key, '')}" for title, key in words)


def _fields_of_operation(operation: Fields) -> Fields:
    return {
        "CreatedAt": _go_time(str(operation.get("created_at", ""))),
        "Err": operation.get("err", ""),
        "Location": operation.get("location", ""),
        "MayCancel": operation.get("may_cancel", False),
        "Metadata": as_map(operation.get("metadata")),
        "Resources": as_map(operation.get("resources")),
        "Status": operation.get("status", ""),
        "StatusCode": operation.get("status", ""),
        "UpdatedAt": _go_time(str(operation.get("updated_at", ""))),
    }


def _time(stamp: str) -> str:
    """A stamp to the second."""
    return stamp[:19] + (stamp[19:].lstrip(".0123456789") or "Z")


def _go_time(stamp: str) -> str:
    """A stamp as Go prints it: `2026-11-21 11:25:31.98 +0000 UTC`."""
    stamp = units.shorten(stamp)
    zone = stamp[19:].lstrip(".0123456789")
    shown = "+0000 UTC" if zone in ("", "Z") else " ".join([zone.replace(":", "")] * 2)
    return f"{stamp[:10]} {stamp[11 : len(stamp) - len(zone)]} {shown}"


def _plain(level: str, time: str, message: str, fields: Fields) -> str:
    name = "warning" if level == "warn" else level
    parts = [f'time="{time}" level={name} msg={_quoted(message)}']
    parts += [f"{key}={_quoted(go_text(fields[key]))}" for key in sorted(fields)]
    return " ".join(parts) + "\n"


def _coloured(rank: int, level: str, time: str, message: str, fields: Fields) -> str:
    name = "warning" if level == "warn" else level
    colour = f"\x1b[{_COLOURS[rank]}m"
    line = f"{colour}{name.upper():<7}\x1b[0m[{time}] {message:<44} "
    for key in sorted(fields):
        line += f" {colour}{key}\x1b[0m={_quoted(go_text(fields[key]))}"
    return line + "\n"


def _quoted(text: str) -> str:
    return text if _BARE.issuperset(text) else '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    """One character as Go's `%q` writes it."""
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 128 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def go_text(value: Any) -> str:
    """A value as Go's `%v` prints it: `map[a:1 b:[x y]]`."""
    if isinstance(value, dict):
        pairs: Fields = value  # pyright: ignore[reportUnknownVariableType]
        return "map[" + " ".join(f"{key}:{go_text(pairs[key])}" for key in sorted(pairs)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_text(item) for item in value) + "]"  # pyright: ignore[reportUnknownVariableType]
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _go_number(float(value))
    return str(value)


def _go_number(value: float) -> str:
    """Go reads every JSON number as a float, and prints one of 21 digits or more with an exponent."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)
