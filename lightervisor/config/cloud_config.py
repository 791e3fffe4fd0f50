"""Values that cloud-init reads, checked before they are stored: a mistake is told at once, not at the next boot.

Source: LXD, cloud-init.*; compared with LXD 5.0.2, whose parser is libyaml in Go, as PyYAML's is libyaml in C.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import yaml
from yaml.resolver import Resolver
from yaml.scanner import ScannerError

from lightervisor.config.types import Blob, Checked, refuse

MOST_EVENTS, DEEPEST = 100_000, 500
"""How far a text is read: what comes after a hundred thousand right words is taken as it is."""
HEADER = "#cloud-config"
_LONGEST_SHOWN = 10


def _check_mapping(value: str) -> None:
    """Raise Invalid unless a text is YAML whose first document is a mapping, or empty."""
    try:
        loader: Any = yaml
        _check_first_document(loader.parse(value, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        raise refuse(f"yaml: {_place(error)}{getattr(error, 'problem', None) or error}") from error


def _check_first_document(events: Iterator[Any]) -> None:
    anchors: set[str] = set()
    is_first, depth = True, 0
    for event in islice(events, MOST_EVENTS):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:  # libyaml's time grows with the square of it
            raise refuse(f"yaml: exceeded max depth of {DEEPEST}")
        if isinstance(event, yaml.DocumentEndEvent):
            return
        if isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
            raise refuse(f"yaml: unknown anchor '{event.anchor}' referenced")
        if isinstance(event, yaml.NodeEvent):
            if event.anchor is not None:
                anchors.add(event.anchor)
            if is_first:
                _check_top(event)
            is_first = False


def _check_top(event: Any) -> None:
    if isinstance(event, yaml.MappingStartEvent):
        return
    what = "!!seq"
    if isinstance(event, yaml.ScalarEvent):
        resolver: Any = Resolver()
        tag: str = event.tag or resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = tag.rpartition(":")[2]
        if kind == "null":
            return
        shown = event.value if len(event.value) <= _LONGEST_SHOWN else f"{event.value[: _LONGEST_SHOWN - 3]}..."
        what = f"!!{kind} `{shown}`"
    line = event.start_mark.line + 1
    raise refuse(f"yaml: unmarshal errors:\n  line {line}: cannot unmarshal {what} into struct {{}}")


def _place(error: Any) -> str:
    """Where the mistake is, as Go's parser says it: nothing for the first line."""
    marks = [getattr(error, "context_mark", None), getattr(error, "problem_mark", None)]
    line = next((mark.line for mark in marks if mark is not None and mark.line), 0)
    if line and isinstance(error, ScannerError):
        line += 1
    return f"line {line}: " if line else ""


def _check_user_data(value: str) -> None:
    """Raise Invalid for a cloud-config that is none; what is in another of cloud-init's many formats is let through."""
    Blob.check(value)
    first, _, rest = value.partition("\n")
    if first == HEADER:
        _check_mapping(rest)


NetworkConfig = Checked("yaml", _check_mapping, has_lines=True)
UserData = Checked("cloud-config", _check_user_data, has_lines=True)
