"""Configuration keys, each declared once, and the registry that everything else derives from.

Validation, typed reading, the metadata endpoint, completion and the reference page all come from `Key`.
A key name may hold one `*`: a free end, as in `user.*`, or a free middle, as in `volatile.*.hwaddr`.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lightervisor.config.types import Text, ValueType
from lightervisor.errors import Invalid

INSTANCE, MACHINE = "instance", "machine"
ALIKE = 0.75


@dataclass(frozen=True, kw_only=True)
class Key:
    """One declared key."""

    name: str
    type: ValueType
    scope: str
    default: str = ""
    live: bool = False
    group: str = ""
    help: str = ""
    extension: str = ""

    def matches(self, name: str) -> bool:
        """Whether this declaration covers a concrete key name."""
        start, is_pattern, end = self.name.partition("*")
        if is_pattern:
            return name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end)
        return name == self.name

    def check(self, value: str) -> None:
        """Raise Invalid unless this may be set; the empty text unsets."""
        if value:
            if not self.type.has_lines:
                Text.check(value)
            self.type.check(value)


class Registry:
    """All keys of all scopes, in order of declaration."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Key] = {}
        self._patterns: dict[str, list[Key]] = {}

    def add(self, key: Key) -> Key:
        """Register a declaration. Raises ValueError when the scope has this name already."""
        if (key.scope, key.name) in self._exact:
            raise ValueError(f"configuration key {key.name} is declared twice in scope {key.scope}")
        self._exact[key.scope, key.name] = key
        if "*" in key.name:
            self._patterns.setdefault(key.scope, []).append(key)
        return key

    def lookup(self, scope: str, name: str) -> Key | None:
        """The declaration that covers a name, or None."""
        if found := self._exact.get((scope, name)):
            return found
        return next((key for key in self._patterns.get(scope, ()) if key.matches(name)), None)

    def keys(self, scope: str | None = None) -> Iterable[Key]:
        """Every declaration, of one scope or of all."""
        return [key for key in self._exact.values() if scope is None or key.scope == scope]

    def check(self, scope: str, name: str, value: str) -> Key:
        """Check one pair and return its declaration.

        Raises Invalid with LXD's text; an unknown key's remedy names the closest known one.
        """
        found = self.lookup(scope, name) if name.isprintable() else None
        if found is None:
            text = f"Unknown configuration key: {name}"
            raise Invalid("configuration key", name, text=text, remedy=self.hint(scope, name))
        found.check(value)
        return found

    def hint(self, scope: str, name: str) -> str:
        """What was probably meant by a name that is not declared, "" when nothing is close."""
        near = difflib.get_close_matches(name, self._alike(scope, name), n=1)
        return f'did you mean "{near[0]}"?' if near else ""

    def _alike(self, scope: str, name: str) -> Iterable[str]:
        """Names that could have been meant: the declared ones, and this one with a free pattern's start put right."""
        parts = name.split(".")
        for key in self.keys(scope):
            start, is_pattern, end = key.name.partition("*")
            depth = start.count(".")
            if not is_pattern:
                yield key.name
            elif not end and len(parts) > depth:
                given, rest = ".".join([*parts[:depth], ""]), ".".join(parts[depth:])
                if given != start and difflib.get_close_matches(given, [start], cutoff=ALIKE):
                    yield start + rest

    def check_all(self, scope: str, config: Mapping[str, str]) -> None:
        """Check a whole map. Raises Invalid for the first bad pair, in order of names."""
        for name in sorted(config):
            self.check(scope, name, config[name])


REGISTRY = Registry()


def key(
    name: str,
    type: ValueType = Text,
    *,
    scope: str,
    default: str = "",
    live: bool = False,
    group: str = "",
    help: str = "",
    extension: str = "",
) -> Key:
    """Declare a key. Scopes: server, instance, machine (virtual ones), pool.<driver>, network.<type>, device.<type>."""
    return REGISTRY.add(
        Key(name=name, type=type, scope=scope, default=default, live=live, group=group, help=help, extension=extension)
    )
