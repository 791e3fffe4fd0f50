"""The language of templates: pongo2's, run by Jinja2's sandbox. Source: pongo2 v4, LXD's `instances/templates`.

A template that is read (`statements`) holds no attribute, no subscript and no call of Python, only those of functions
that are registered here; the sandbox is the second wall. The process around it (`worker`) limits time and memory.
"""

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from jinja2 import TemplateError, pass_context
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lightervisor.templates.dates import format_time
from lightervisor.templates.expressions import FILTER, OPERATOR, OWN, PREFIX
from lightervisor.templates.filters import FILTERS, escape
from lightervisor.templates.statements import Statements
from lightervisor.templates.tokens import BadTemplate, tokens
from lightervisor.templates.values import OPERATORS, BadValue, item, items, minus, negated, number, plain, text, truth

LARGEST = 4 << 20
"""Most characters that one template may give."""


def render(template: str, variables: Mapping[str, object], config: Mapping[str, str]) -> str:
    """The text of a template with these variables and `config_get` for this configuration.

    Raises BadTemplate for one that cannot be read, BadValue for one that cannot be carried out or gives too much.
    """

    def config_get(key: object = None, default: object = None, *others: object) -> Any:
        if others:
            raise BadValue("config_get takes a key and a default")
        value = config.get(text(key))
        return plain(default) if value is None else value.rstrip("\r\n")

    known = {f"{PREFIX}{name}": value for name, value in variables.items()}
    pieces: list[str] = []
    length = 0
    try:
        read = Statements(tokens(template), FILTERS).template()
        ready = _environment().from_string(read)
        for piece in ready.generate({**known, f"{PREFIX}config_get": config_get}):
            length += len(piece)
            if length > LARGEST:
                raise BadValue(f"it gives more than {LARGEST} characters")
            pieces.append(piece)
    except (TemplateError, TypeError, RecursionError, SyntaxError, ValueError, ArithmeticError) as error:
        raise BadValue(" ".join(str(error).split())[:200] or type(error).__name__) from error
    return "".join(pieces)


def _environment() -> ImmutableSandboxedEnvironment:
    """An environment for one template: what cycle and ifchanged remember is in it."""
    environment = ImmutableSandboxedEnvironment(
        autoescape=False, keep_trailing_newline=True, loader=None, cache_size=0, optimized=False, finalize=text
    )
    filters: dict[str, Callable[..., Any]] = {}
    for prefix, functions in ((OPERATOR, OPERATORS), (FILTER, FILTERS), (OWN, _own())):
        filters |= {f"{prefix}{name}": function for name, function in functions.items()}
    environment.filters, environment.globals, environment.tests = filters, {}, {}
    return environment


def _own() -> dict[str, Callable[..., Any]]:
    seen: dict[int, object] = {}

    @pass_context  # what has a context is not worked out once for all while a template is compiled
    def cycle(_context: Context, numbered: tuple[int, list[object]]) -> object:
        place, values = numbered
        count = cast("int", seen.get(place, 0))
        seen[place] = count + 1
        return values[count % len(values)]

    def note(place: int, values: list[object]) -> bool:
        now = json.dumps([text(value) for value in values])
        before, seen[place] = seen.get(place), now
        return before != now

    @pass_context
    def changed(_context: Context, numbered: tuple[int, list[object]]) -> bool:
        return note(*numbered)

    @pass_context
    def changed_text(_context: Context, body: str, place: int) -> str:
        return body if note(place, [body]) else ""

    return {
        "changed": changed,
        "changed_text": changed_text,
        "cycle": cycle,
        "escape": escape,
        "firstof": _firstof,
        "function": _function,
        "item": _item,
        "loop": _loop,
        "minus": minus,
        "negated": negated,
        "now": _now,
        "spaceless": _spaceless,
        "truth": truth,
        "widthratio": _widthratio,
    }


def _firstof(values: list[object]) -> object:
    return next((value for value in values if truth(value)), "")


def _now(layout: str) -> str:
    return format_time(time.time(), layout)


def _spaceless(body: str) -> str:
    return re.sub(r">\s+<", "><", body.strip())


def _function(value: object) -> object:
    """Only what is meant to be called can be."""
    if isinstance(value, Macro) or getattr(value, "__name__", "") == "config_get":
        return value
    raise BadValue("something is called that is no function")


def _item(value: object, key: object) -> Any:
    key = plain(key)
    return item(value, key if isinstance(key, str | int) else text(key))


def _loop(value: object, outer: object, is_reversed: bool, is_sorted: bool) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Keys, values and what `forloop` is at each of them."""
    rows = items(value)
    if is_sorted:
        rows.sort(key=lambda row: (text(row[0]),))
    if is_reversed:
        rows.reverse()
    count = len(rows)
    return [
        (
            *row,
            {
                "Counter": place + 1,
                "Counter0": place,
                "Revcounter": count - place,
                "Revcounter0": count - place - 1,
                "First": place == 0,
                "Last": place == count - 1,
                "Parentloop": plain(outer),
            },
        )
        for place, row in enumerate(rows)
    ]


def _widthratio(value: object, largest: object, width: object) -> int:
    if number(largest) == 0:
        raise BadValue("widthratio divides by zero")
    return math.ceil(number(value) / number(largest) * number(width) + 0.5)


__all__ = ["LARGEST", "BadTemplate", "BadValue", "render"]
