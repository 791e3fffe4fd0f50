"""The filters of `lxc list`: names, configuration keys and shorthands."""

from __future__ import annotations

from lightervisor.cli import list_columns
from lightervisor.client.light_json import as_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_SHORTHANDS = ("type", "status", "architecture", "location", "ipv4", "ipv6")
_FAMILIES = {"ipv4": "inet", "ipv6": "inet6"}


def matches_all(instance: dict[str, Any], filters: Sequence[str]) -> bool:
    """Whether the instance satisfies every filter."""
    return all(matches(instance, text) for text in filters)


def matches(instance: dict[str, Any], text: str) -> bool:
    """One filter: `key=value` on the expanded configuration or a shorthand, else a name's beginning, glob or regexp."""
    key, equals, value = text.partition("=")
    if not equals:
        return _matches_name(str(instance["name"]), text)
    if key in _SHORTHANDS:
        return any(_matches_shorthand(instance, key, part) for part in value.split(","))
    config: dict[str, str] = as_map(instance.get("expanded_config"))
    return any(is_abbreviation(key, name) and matches_pattern(value, held) for name, held in config.items())


def is_abbreviation(short: str, key: str) -> bool:
    """`s.privileged` stands for `security.privileged`: each dotted part may be cut."""
    shorts, parts = short.split("."), key.split(".")
    return len(shorts) == len(parts) and all(part.startswith(cut) for cut, part in zip(shorts, parts, strict=True))


def _matches_name(name: str, text: str) -> bool:
    if name.startswith(text):
        return True
    return not text.isalnum() and (matches_pattern(text, name) or _matches_glob(text, name))


def matches_pattern(pattern: str, text: str) -> bool:
    """Equal, or a regular expression for the whole text (anchors of its own are respected)."""
    if pattern == text:
        return True
    if pattern.replace("-", "").isalnum():
        return False
    import re

    is_anchored = "^" in pattern or "$" in pattern
    try:
        return re.search(pattern if is_anchored else f"^(?:{pattern})$", text) is not None
    except re.error:
        return False


def _matches_glob(pattern: str, text: str) -> bool:
    if not any(char in pattern for char in "*?["):
        return False
    import fnmatch

    return fnmatch.fnmatchcase(text, pattern)


def _matches_shorthand(instance: dict[str, Any], key: str, value: str) -> bool:
    if key in _FAMILIES:
        return _has_address(instance, _FAMILIES[key], value)
    return str(instance.get(key, "")).lower() == value.lower()


def _has_address(instance: dict[str, Any], family: str, value: str) -> bool:
    import ipaddress

    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    found = [text.partition(" ")[0] for text in list_columns.addresses(instance, family)]
    return any(ipaddress.ip_address(address) in network for address in found)
