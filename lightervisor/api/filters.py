"""The filter language of lists: `status eq Running and not name eq c.*`. Source: LXD REST API, filtering.

Clauses are combined strictly from left to right. A value is a regular expression in Go's syntax, in any case: put
between ^ and $ unless it holds one of them, and no expression but a text to be equal to when it cannot be read as one.
Only text fields can match. Words are separated by spaces, a value with spaces is put between double quotes; nothing
else is special, so that regular expressions pass whole. RE2 has Go's syntax and takes time that is linear in the text.
Compared with LXD 5.0.2.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import re2

from lightervisor.errors import Failure, Invalid

Listed = TypeVar("Listed")
LONGEST = 4096
MOST_MEMORY = 8 << 20
"""Bytes that one regular expression may take, compiled."""
MAPS, MAPS_OF_MAPS = ("config", "expanded_config", "properties"), ("devices", "expanded_devices")
ANY_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")
"""The one thing that RE2 reads and Go does not."""
WORD = re.compile(r'"([^"]*)"(?=\s|$)|(\S+)')


class Clause(NamedTuple):
    """One comparison and how it joins what is left of it."""

    is_and: bool
    is_negated: bool
    field: str
    value: str
    regex: "re2.Regex | None"

    def holds(self, found: object) -> bool:
        """Whether a field's value passes."""
        return (isinstance(found, str) and self._matches(found)) != self.is_negated

    def _matches(self, found: str) -> bool:
        if self.regex is None:
            return found.casefold() == self.value.casefold()
        return self.regex.search(found) is not None


def parse(text: str) -> list[Clause]:
    """The clauses of a filter. Raises Failure with LXD's texts for what is not one, Invalid for what is too much."""
    if len(text) > LONGEST:
        raise Invalid("filter", cause=f"it is longer than {LONGEST} characters")
    words = _words(text)
    clauses: list[Clause] = []
    is_and = True
    while words:
        negated = words[0] == "not"
        words = words[1:] if negated else words
        if len(words) < 3:
            complaints = ("incomplete not clause", "clause has no operator", "clause has no value")
            raise Failure("filter", text=f"Invalid filter: {complaints[len(words)]}")
        field, operator, value = words[:3]
        clauses.append(Clause(is_and, negated != (operator == "ne"), field, value, _regex(value)))
        words = words[3:]
        if words:
            if words[0] not in ("and", "or"):
                raise Failure("filter", text="Invalid filter: invalid clause composition")
            if len(words) == 1:
                raise Failure("filter", text="Invalid filter: unterminated compound clause")
            is_and, words = words[0] == "and", words[1:]
    return clauses


def _words(text: str) -> list[str]:
    words: list[str] = []
    for found in WORD.finditer(text):
        quoted: str | None = found[1]
        if quoted is None and found[2].startswith('"'):
            raise Failure("filter", text="Invalid filter: unterminated quote")
        words.append(found[2] if quoted is None else quoted)
    return words


def _regex(value: str) -> "re2.Regex | None":
    if ANY_BYTE.search(value) and "\\Q" not in value:
        return None
    options = re2.Options()
    options.case_sensitive, options.log_errors, options.max_mem = False, False, MOST_MEMORY
    try:
        return re2.compile(value if "^" in value or "$" in value else f"^{value}$", options)
    except UnicodeEncodeError:
        return None
    except re2.error as error:
        if b"too large" in error.args[0]:
            remedy = "use a simpler regular expression"
            raise Invalid("filter", value[:60], cause="the regular expression is too large", remedy=remedy) from error
        return None


async def matching(text: str, objects: list[Listed]) -> list[Listed]:
    """The objects that pass a filter; an empty one passes all. Raises as `parse` does."""
    if not text:
        return objects

    def found() -> list[Listed]:
        clauses = parse(text)
        return [one for one in objects if passes(clauses, msgspec.to_builtins(one))]

    return await asyncio.to_thread(found)


def passes(clauses: Sequence[Clause], fields: Any) -> bool:
    """Whether an object, as plain dictionaries, passes all clauses taken from left to right."""
    result = True
    for clause in clauses:
        holds = clause.holds(_field(fields, clause.field))
        result = (result and holds) if clause.is_and else (result or holds)
    return result


def _field(fields: Any, path: str) -> object:
    """The value at a dotted path; keys of a map may hold dots themselves, and one that is not in it is empty."""
    head, _, rest = path.partition(".")
    if not isinstance(fields, dict):
        return None
    found: Any = fields.get(head)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]  # JSON
    if not rest:
        return found  # pyright: ignore[reportUnknownVariableType]
    if head in MAPS and isinstance(found, dict):
        return found.get(rest, "")  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    if head in MAPS_OF_MAPS and isinstance(found, dict):
        name, _, key = rest.partition(".")
        inner: Any = found.get(name)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        return inner.get(key, "") if key and isinstance(inner, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    return _field(found, rest)
