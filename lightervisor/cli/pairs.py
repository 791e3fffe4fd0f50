"""`key=value` arguments and flags."""

from __future__ import annotations

import sys

from lightervisor.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def parse(texts: Sequence[str], complaint: str = "Bad key=value pair: {}") -> dict[str, str]:
    """A mapping of `key=value` texts."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CommandError(complaint.format(text))
        found[key] = value
    return found


def environment(texts: Sequence[str]) -> dict[str, str]:
    """The `--env` flags; one without a value sets the variable to nothing, as in LXD."""
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def parse_old_or_new(texts: Sequence[str]) -> dict[str, str]:
    """`key=value …`, or LXD 2.0's `key value`; a value `-` is read from standard input."""
    if len(texts) == 2 and "=" not in texts[0]:
        found = {texts[0]: texts[1]}
    else:
        found = parse(texts, "Invalid key=value configuration: {}")
    return {key: sys.stdin.read() if value == "-" else value for key, value in found.items()}


def devices(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """The `--device name,key=value,…` flags, by device."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        name, comma, rest = text.partition(",")
        if not comma or not name:
            raise CommandError(f"Bad device override syntax, expecting <device>,<key>=<value>: {text}")
        for pair in rest.split(","):
            key, equals, value = pair.partition("=")
            if not equals:
                raise CommandError(f"Bad device override syntax, expecting <device>,<key>=<value>: {text}")
            found.setdefault(name, {})[key] = value
    return found
