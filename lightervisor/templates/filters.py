"""Filters of templates. Source: pongo2 v4, filters_builtin; compared with LXD 5.0.2.

Left out are those for web pages that nobody needs in a configuration file: urlize, urlizetrunc, truncatechars_html,
truncatewords_html, linenumbers, phone2numeric and random.
"""

import json
import re
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote_plus

from lightervisor.templates.dates import format_time
from lightervisor.templates.values import BadValue, integer, number, plain, text, truth

LARGEST = 4 << 20
"""Most characters that padding makes."""
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_FORMAT = re.compile(r"%([-+ #0]*)(\d{0,4})(?:\.(\d{1,3}))?([sdvfxXqt])")
Filter = Callable[..., Any]
Simple = Callable[[Any], Any]


def escape(value: object) -> str:
    """For HTML, as pongo2 writes it."""
    return re.sub(r"[&<>\"']", lambda found: _ESCAPED[found[0]], text(value))


def _width(value: object) -> int:
    width = integer(value)
    if width > LARGEST:
        raise BadValue(f"a width of {width} is too large")
    return width


def _add(value: object, other: object = None) -> Any:
    value, other = plain(value), plain(other)
    if _is_number(value) and _is_number(other):
        if isinstance(value, float) or isinstance(other, float):
            return number(value) + number(other)
        return integer(integer(value) + integer(other))
    return text(value) + text(other)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _addslashes(value: object) -> str:
    return re.sub(r"[\\\"']", r"\\\g<0>", text(value))


def _capfirst(value: object) -> str:
    return text(value)[:1].upper() + text(value)[1:]


def _center(value: object, width: object = 0) -> str:
    string = text(value)
    spaces = max(_width(width) - len(string), 0)
    return " " * (spaces - spaces // 2) + string + " " * (spaces // 2)


def _cut(value: object, part: object = "") -> str:
    return text(value).replace(text(part), "")


def _date(value: object, layout: object = "") -> str:
    value = plain(value)
    if not _is_number(value):
        raise BadValue("date and time want a time")
    return format_time(number(value), text(layout))


def _default(value: object, other: object = None) -> Any:
    return plain(value) if truth(value) else plain(other)


def _default_if_none(value: object, other: object = None) -> Any:
    return plain(other) if plain(value) is None else plain(value)


def _divisible(value: object, by: object = 0) -> bool:
    return integer(by) != 0 and integer(value) % integer(by) == 0


def _end(value: object, index: int) -> Any:
    value = plain(value)
    if isinstance(value, str):
        return value[index:][:1]
    return cast("list[Any]", value)[index] if isinstance(value, list | tuple) and value else ""


def _floatformat(value: object, digits: object = None) -> str:
    exact, wanted = number(value), plain(digits)
    is_whole = exact == int(exact) if abs(exact) < 2.0**63 else True
    if wanted is None or wanted == "":
        return str(int(exact)) if is_whole else f"{exact:.1f}"
    count = integer(wanted)
    if count < 0 and is_whole:
        return str(int(exact))
    return f"{exact:.{min(abs(count), 100)}f}"


def _get_digit(value: object, place: object = 0) -> Any:
    digits, index = text(value), integer(place)
    return (
        int(digits[-index])
        if 0 < index <= len(digits) and digits[-index].isascii() and digits[-index].isdigit()
        else value
    )


def _join(value: object, separator: object = "") -> Any:
    value = plain(value)
    if not isinstance(value, str | list | tuple):
        return value
    return text(separator).join(text(one) for one in cast("list[object]", value))


def _length(value: object) -> int:
    value = plain(value)
    return len(cast("str", value)) if isinstance(value, str | list | tuple | dict) else 0


def _length_is(value: object, length: object = 0) -> bool:
    return _length(value) == integer(length)


def _linebreaks(value: object) -> str:
    paragraphs = [part for part in re.split(r"\n{2,}", text(value)) if part]
    return "".join(f"<p>{part.replace(chr(10), '<br />')}</p>" for part in paragraphs)


def _ljust(value: object, width: object = 0) -> str:
    return text(value).ljust(_width(width))


def _pluralize(value: object, endings: object = None) -> str:
    words = text(endings).split(",") if text(endings) else ["s"]
    if len(words) > 2:
        raise BadValue("pluralize takes at most two endings")
    single, plural = words if len(words) == 2 else ("", words[0])
    return single if integer(value) == 1 else plural


def _removetags(value: object, tags: object = "") -> str:
    string = text(value)
    for tag in text(tags).split(","):
        name = re.escape(tag.strip())
        string = re.sub(rf"</?{name}/?>", "", string) if name else string
    return string.strip()


def _rjust(value: object, width: object = 0) -> str:
    return text(value).rjust(_width(width))


def _slice(value: object, places: object = "") -> Any:
    value, parts = plain(value), text(places).split(":")
    if len(parts) != 2:
        raise BadValue("slice wants a text such as '1:3'")
    if not isinstance(value, str | list | tuple):
        return value
    length = len(cast("str", value))
    start, stop = (integer(part) for part in parts)
    stop = stop if parts[1] else length
    start, stop = (max(place + length if place < 0 else place, 0) for place in (start, stop))
    return cast("Any", value)[start : max(stop, start)]


def _split(value: object, separator: object = "") -> list[str]:
    string, between = text(value), text(separator)
    return string.split(between) if between else list(string)


def _stringformat(value: object, form: object = "") -> str:
    """Go's verbs for one value."""
    value = plain(value)

    def write(found: "re.Match[str]") -> str:
        flags, width, digits, verb = found.groups()
        precision = f".{digits}" if digits else ""
        match verb:
            case "d" | "x" | "X":
                return f"%{flags}{width}{verb}" % integer(value)
            case "f":
                return f"%{flags}{width}{precision or '.6'}f" % number(value)
            case "q":
                return f"%{flags}{width}s" % json.dumps(text(value), ensure_ascii=False)
            case _:
                return f"%{flags}{width}{precision}s" % text(value)

    return "%".join(_FORMAT.sub(write, part) for part in text(form).split("%%"))


def _striptags(value: object) -> str:
    return re.sub(r"<[^>]*>", "", text(value)).strip()


def _title(value: object) -> str:
    return re.sub(r"\w+", lambda word: word[0][:1].upper() + word[0][1:], text(value).lower())


def _truncatechars(value: object, length: object = 0) -> str:
    string, limit = text(value), integer(length)
    if limit <= 0 or len(string) <= limit:
        return string if limit > 0 else ""
    return string[: limit - 3] + "..." if limit >= 3 else string[:limit]


def _truncatewords(value: object, count: object = 0) -> str:
    words, limit = text(value).split(), max(integer(count), 0)
    if limit == 0:
        return ""
    return " ".join([*words[:limit], *(["..."] if len(words) > limit else [])])


def _wordwrap(value: object, count: object = 0) -> str:
    words, size = text(value).split(), integer(count)
    if size <= 0:
        return text(value)
    return "\n".join(" ".join(words[place : place + size]) for place in range(0, len(words), size))


def _yesno(value: object, words: object = None) -> str:
    choices = text(words).split(",") if text(words) else ["yes", "no", "maybe"]
    if not 2 <= len(choices) <= 3:
        raise BadValue("yesno takes two or three words")
    if plain(value) is None:
        return choices[2] if len(choices) == 3 else "maybe"
    return choices[0] if truth(value) else choices[1]


_WITHOUT_PARAMETER: dict[str, Simple] = {
    "escapejs": lambda value: "".join(
        one if one in " /" or (one.isascii() and one.isalnum()) else f"\\u{ord(one):04X}" for one in text(value)
    ),
    "first": lambda value: _end(value, 0),
    "iriencode": lambda value: quote_plus(text(value), safe="/#%[]=:;$&()+,!?*@'~", errors="surrogateescape"),
    "last": lambda value: _end(value, -1),
    "linebreaksbr": lambda value: text(value).replace("\n", "<br />"),
    "lower": lambda value: text(value).lower(),
    "make_list": lambda value: list(text(value)),
    "safe": plain,
    "upper": lambda value: text(value).upper(),
    "urlencode": lambda value: quote_plus(text(value), errors="surrogateescape"),
    "wordcount": lambda value: len(text(value).split()),
}
FILTERS: dict[str, Filter] = {
    **_WITHOUT_PARAMETER,
    "add": _add,
    "addslashes": _addslashes,
    "capfirst": _capfirst,
    "center": _center,
    "cut": _cut,
    "date": _date,
    "default": _default,
    "default_if_none": _default_if_none,
    "divisibleby": _divisible,
    "e": escape,
    "escape": escape,
    "float": number,
    "floatformat": _floatformat,
    "get_digit": _get_digit,
    "integer": integer,
    "join": _join,
    "length": _length,
    "length_is": _length_is,
    "linebreaks": _linebreaks,
    "ljust": _ljust,
    "pluralize": _pluralize,
    "removetags": _removetags,
    "rjust": _rjust,
    "slice": _slice,
    "split": _split,
    "stringformat": _stringformat,
    "striptags": _striptags,
    "time": _date,
    "title": _title,
    "truncatechars": _truncatechars,
    "truncatewords": _truncatewords,
    "wordwrap": _wordwrap,
    "yesno": _yesno,
}
"""All filters by their names; each takes a value, most of them one parameter."""
