"""Reads the small part of YAML that LXD's client writes (nested maps of plain words), without importing `yaml`.

Importing the library costs twice a whole `lxc list`. Whatever is not certainly of this part is left to it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PLAIN_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_@")
_NOT_TEXT = frozenset(("true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"))


class NotPlain(Exception):
    """The document needs the real library."""


def read(text: str) -> dict[str, Any]:
    """The document's mapping; raises NotPlain when it uses more than nested maps of plain scalars."""
    root: dict[str, Any] = {}
    levels: list[tuple[int, dict[str, Any]]] = [(-1, root)]
    empty: tuple[int, dict[str, Any], str] | None = None
    for line in text.splitlines():
        if not line.strip():
            continue
        indent, key, value = _line(line)
        if empty is not None:
            if indent <= empty[0]:
                raise NotPlain(line)
            levels.append((indent, empty[1].setdefault(empty[2], {})))
            empty = None
        while levels[-1][0] > indent:
            levels.pop()
        if levels[-1][0] == -1 and indent == 0:
            levels.append((0, root))
        if levels[-1][0] != indent or key in levels[-1][1]:
            raise NotPlain(line)
        if value == "":
            empty = (indent, levels[-1][1], key)
        else:
            levels[-1][1][key] = _scalar(value)
    if empty is not None:
        raise NotPlain("a key without a value")
    return root


def _line(line: str) -> tuple[int, str, str]:
    body = line.lstrip(" ")
    key, colon, value = body.partition(":")
    if not colon or (value and value[0] != " ") or not _is_plain_word(key) or "\t" in line:
        raise NotPlain(line)
    return len(line) - len(body), key, value.strip()


def _is_plain_word(text: str) -> bool:
    return (
        bool(text)
        and text[0] in _PLAIN_START
        and text.lower() not in _NOT_TEXT
        and text.isprintable()
        and " " not in text
    )


def _scalar(value: str) -> Any:
    if value == "{}":
        return {}
    if value == '""':
        return ""
    if value in ("true", "false"):
        return value == "true"
    if value[0] not in _PLAIN_START or value.lower() in _NOT_TEXT or ": " in value or " #" in value:
        raise NotPlain(value)
    if value.endswith(":") or not value.isprintable():
        raise NotPlain(value)
    return value
