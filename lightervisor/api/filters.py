"""The filter language of lists: `status eq Running and not name eq c.*`. Source: LXD REST API, filtering.

Clauses are combined strictly from left to right. A value is a regular expression for the whole field, in any
case; one that holds ^ or $ is searched for instead. Only text fields can match. Words are separated by spaces, a
value with spaces is put between double quotes; nothing else is special, so that regular expressions pass whole.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from lightervisor.errors import Failure, Invalid

Listed = TypeVar("Listed")
LONGEST = 4096
WORD = re.compile(r'"([^"]*)"(?=\s|$)|(\S+)')


class Clause(NamedTuple):
    """One comparison and how it joins what is left of it."""

    is_and: bool
    is_negated: bool
    field: str
    pattern: "re.Pattern[str]"

    def holds(self, value: object) -> bool:
        """Whether a field's value passes."""
        return (isinstance(value, str) and self.pattern.search(value) is not None) != self.is_negated


def parse(text: str) -> list[Clause]:
    """The clauses of a filter. Raises Failure with LXD's texts for what is not one."""
    if len(text) > LONGEST:
        raise Invalid("filter", cause=f"it is longer than {LONGEST} characters")
    words = _words(text)
    clauses: list[Clause] = []
    is_and = True
    while words:
        negated = words[0] == "not"
        words = words[1:] if negated else words
        if len(words) < 2:
            raise Failure("filter", text="Invalid filter: clause has no operator")
        if len(words) < 3:
            raise Failure("filter", text="Invalid filter: clause has no value")
        field, operator, value = words[:3]
        clauses.append(Clause(is_and, negated != (operator == "ne"), field, _pattern(value)))
        words = words[3:]
        if words:
            if words[0] not in ("and", "or") or len(words) == 1:
                raise Failure("filter", text="Invalid filter: clause not followed by and or or")
            is_and, words = words[0] == "and", words[1:]
    return clauses


def _words(text: str) -> list[str]:
    words: list[str] = []
    for found in WORD.finditer(text):
        quoted: str | None = found[1]
        if quoted is None and found[2].startswith('"'):
            raise Invalid("filter", text="Invalid filter: unterminated quote")
        words.append(found[2] if quoted is None else quoted)
    return words


def _pattern(value: str) -> "re.Pattern[str]":
    try:
        return re.compile(value if "^" in value or "$" in value else f"^(?:{value})\\Z", re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise Invalid("filter", text=f"Invalid filter: {error}") from error


def matching(text: str, objects: list[Listed]) -> list[Listed]:
    """The objects that pass a filter; an empty one passes all."""
    clauses = parse(text)
    return [one for one in objects if passes(clauses, msgspec.to_builtins(one))] if clauses else objects


def passes(clauses: Sequence[Clause], fields: Any) -> bool:
    """Whether an object, as plain dictionaries, passes all clauses taken from left to right."""
    result = True
    for clause in clauses:
        holds = clause.holds(_field(fields, clause.field))
        result = (result and holds) if clause.is_and else (result or holds)
    return result


def _field(fields: Any, path: str) -> object:
    """The value at a dotted path; keys of a map may hold dots themselves."""
    if not isinstance(fields, dict):
        return None
    if path in fields:
        found: object = fields[path]  # pyright: ignore[reportUnknownVariableType]  # JSON
        return found  # pyright: ignore[reportUnknownVariableType]
    head, _, rest = path.partition(".")
    return _field(fields.get(head), rest) if rest else None  # pyright: ignore[reportUnknownMemberType]
