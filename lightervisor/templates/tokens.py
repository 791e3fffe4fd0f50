"""A template's text as tokens. Source: pongo2 v4, lexer.

What lies outside of marks is one `data` token. Inside there are `name`, `string`, `number` and `symbol`; `open` and
`close` are the marks themselves, their value being "{{" or "{%" however they were written.
"""

import re
from collections.abc import Generator
from typing import Literal, NamedTuple

Kind = Literal["data", "open", "close", "name", "string", "number", "symbol", "end"]
_OPEN = re.compile(r"\{\{-?|\{%-?|\{#")
_VERBATIM = re.compile(r"\{%-?\s*verbatim\s*-?%\}(.*?)\{%-?\s*endverbatim\s*-?%\}", re.DOTALL)
_COMMENT = re.compile(r"\{%-?\s*comment\b.*?%\}.*?\{%-?\s*endcomment\s*-?%\}", re.DOTALL)
_INSIDE = re.compile(
    r"""(?P<space>\s+)
    |(?P<close>-?%\}|-?\}\})
    |(?P<name>[A-Za-z_]\w*)
    |(?P<number>\d+)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<symbol>==|>=|<=|&&|\|\||!=|<>|[()+\-*<>/^,.!|:=%\[\]])""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "t": "\t", "r": "\r"}


class BadTemplate(Exception):
    """A template that cannot be used; the text says where and why."""

    def __init__(self, line: int, cause: str) -> None:
        super().__init__(f"line {line}: {cause}")


class Token(NamedTuple):
    """One token and the line it begins in, counted from 1."""

    kind: Kind
    value: str
    line: int


def tokens(text: str) -> Generator[Token, None, None]:
    """All tokens of a text, `end` being the last. Raises BadTemplate."""
    place, line, strips = 0, 1, False
    while place < len(text):
        mark = _OPEN.search(text, place)
        stop = len(text) if mark is None else mark.start()
        data = text[place:stop].lstrip() if strips else text[place:stop]
        data = data.rstrip() if mark is not None and mark[0].endswith("-") else data
        if data:
            yield Token("data", data, line)
        line += text.count("\n", place, stop)
        strips = False
        if mark is None:
            break
        if mark[0] == "{#":
            place = text.find("#}", stop) + 2
            if place == 1:
                raise BadTemplate(line, "a comment that begins with {# has no #}")
        elif verbatim := _VERBATIM.match(text, stop):
            yield Token("data", verbatim[1], line)
            place = verbatim.end()
        elif comment := _COMMENT.match(text, stop):
            place = comment.end()
        else:
            yield Token("open", mark[0][:2], line)
            place, strips = yield from _inside(text, mark, line)
        line += text.count("\n", stop, place)
    yield Token("end", "", line)


def _inside(text: str, mark: "re.Match[str]", line: int) -> Generator[Token, None, tuple[int, bool]]:
    """The tokens up to the closing mark; where that ends, and whether it removes the white space behind it."""
    wanted = "%}" if mark[0].startswith("{%") else "}}"
    place = mark.end()
    while place < len(text):
        found = _INSIDE.match(text, place)
        if found is None:
            raise BadTemplate(line, f"unexpected {text[place : place + 10]!r} after {mark[0]}")
        kind, value = found.lastgroup, found[0]
        if kind == "close":
            if value[-2:] != wanted:
                raise BadTemplate(line, f"{mark[0]} is closed by {value}")
            yield Token("close", wanted, line)
            return found.end(), value.startswith("-")
        if kind == "string":
            yield Token("string", _unescaped(value[1:-1], line), line)
        elif kind in ("name", "number", "symbol"):
            yield Token(kind, value, line)
        line += value.count("\n")
        place = found.end()
    raise BadTemplate(line, f"{mark[0]} is not closed by {wanted}")


def _unescaped(text: str, line: int) -> str:
    def meaning(found: "re.Match[str]") -> str:
        if found[1] not in _ESCAPES:
            raise BadTemplate(line, f"unknown escape sequence {found[0]!r}")
        return _ESCAPES[found[1]]

    return _ESCAPE.sub(meaning, text)
