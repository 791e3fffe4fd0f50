"""Values of templates as pongo2 sees them: what counts as true, numbers out of texts, texts out of numbers.

A value is None, a bool, an int of 64 bits, a float, a string, a list or a dictionary; whatever else Jinja2 hands over
(a name that is not defined) is None. Source: pongo2 v4, value; compared with LXD 5.0.2.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

_WORD = 1 << 64


class BadValue(Exception):
    """Something cannot be done with a value."""


def plain(value: object) -> Any:
    """The value itself, None for what templates cannot hold."""
    known = isinstance(value, bool | int | float | str | list | tuple | dict)
    return cast("Any", value) if known else None


def text(value: object) -> str:
    """What is written for a value."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:f}"
    if isinstance(value, dict):
        return "<map[string]string Value>"
    if isinstance(value, list | tuple):
        return "<[]string Value>"
    return str(value)


def truth(value: object) -> bool:
    """Whether a condition holds."""
    return bool(plain(value))


def integer(value: object) -> int:
    """The number, whole; 0 for what is none."""
    value = plain(value)
    if isinstance(value, str):
        value = number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    try:
        return wrapped(int(value))
    except (OverflowError, ValueError):  # not a number, infinite
        return 0


def number(value: object) -> float:
    """The number with its fraction; 0 for what is none."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    try:
        return float(value)
    except (ValueError, OverflowError):
        return 0.0


def wrapped(value: int) -> int:
    """The number that is left of a larger one in 64 bits."""
    return (value + _WORD // 2) % _WORD - _WORD // 2


def items(value: object) -> list[tuple[Any, Any]]:
    """What a loop goes over, as keys and values; a list's and a text's values are None."""
    value = plain(value)
    if isinstance(value, dict):
        return sorted(cast("Mapping[Any, Any]", value).items())
    if isinstance(value, str | list | tuple):
        return [(one, None) for one in cast("Iterator[Any]", value)]
    return []


def item(value: object, key: str | int) -> Any:
    """What a dictionary has for a key or a list at an index; None when there is no such thing."""
    value = plain(value)
    if isinstance(value, dict):
        return cast("Mapping[Any, Any]", value).get(str(key))
    if isinstance(value, str | list | tuple) and isinstance(key, int) and 0 <= key < len(cast("str", value)):
        return cast("str", value)[key]
    return None


def negated(value: object) -> Any:
    """`not`: of a number it is 1 or 0."""
    value = plain(value)
    return int(not value) if isinstance(value, int | float) and not isinstance(value, bool) else not value


def minus(value: object) -> Any:
    """A negative number. Raises BadValue."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue("a minus stands before something that is not a number")
    return wrapped(-value) if isinstance(value, int) else -value


def _calculated(
    whole: Callable[[int, int], int], broken: Callable[[float, float], float]
) -> Callable[[object, object], Any]:
    def operate(left: object, right: object) -> Any:
        if isinstance(left, float) or isinstance(right, float):
            return broken(number(left), number(right))
        return wrapped(whole(integer(left), integer(right)))

    return operate


def _compared(compare: Callable[[float, float], bool]) -> Callable[[object, object], bool]:
    def operate(left: object, right: object) -> bool:
        if isinstance(left, float) or isinstance(right, float):
            return compare(number(left), number(right))
        return compare(integer(left), integer(right))

    return operate


def _divided(left: int, right: int) -> int:
    """As in Go: towards zero."""
    if right == 0:
        raise BadValue("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _divided_exactly(left: float, right: float) -> float:
    if right == 0:
        raise BadValue("division by zero")
    return left / right


def _remainder(left: object, right: object) -> int:
    first, second = integer(left), integer(right)
    return wrapped(first - _divided(first, second) * second)


def _power(left: object, right: object) -> float:
    try:
        result = number(left) ** number(right)
    except (OverflowError, ZeroDivisionError) as error:
        raise BadValue("a power is too large") from error
    return result if isinstance(result, float) else 0.0  # pyright: ignore[reportUnnecessaryIsInstance] -- a complex one


def _equal(left: object, right: object) -> bool:
    left, right = plain(left), plain(right)
    return type(left) is type(right) and left == right


def _contains(left: object, right: object) -> bool:
    right = plain(right)
    if isinstance(right, str):
        return text(left) in right
    return plain(left) in cast("list[Any]", right) if isinstance(right, list | tuple | dict) else False


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": _calculated(lambda left, right: left + right, lambda left, right: left + right),
    "-": _calculated(lambda left, right: left - right, lambda left, right: left - right),
    "*": _calculated(lambda left, right: left * right, lambda left, right: left * right),
    "/": _calculated(_divided, _divided_exactly),
    "%": _remainder,
    "^": _power,
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<>": lambda left, right: not _equal(left, right),
    "<": _compared(lambda left, right: left < right),
    ">": _compared(lambda left, right: left > right),
    "<=": _compared(lambda left, right: left <= right),
    ">=": _compared(lambda left, right: left >= right),
    "in": _contains,
}
"""Operators with two sides, except `and` and `or`, which do not always look at the second one."""
