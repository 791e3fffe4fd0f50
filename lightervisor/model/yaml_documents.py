"""YAML of strangers, read with limits, and YAML as Go writes it. Source: YAML 1.1; gopkg.in/yaml.v2, which LXD uses."""

import functools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import msgspec
import yaml

from lightervisor.errors import Invalid

DEEPEST = 50
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
Wanted = TypeVar("Wanted")


class _Dumper(_DUMPER):
    """libyaml's where there is one: it is many times as fast, and there may be many snapshots to describe."""

    def ignore_aliases(self, data: object) -> bool:
        """What is the same in two places is written twice: whoever reads it refuses aliases."""
        _ = data
        return True


def _time(dumper: yaml.SafeDumper, moment: datetime) -> yaml.Node:
    """RFC 3339, bare: PyYAML's own form has a blank in it, which Go does not read."""
    text = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return dumper.represent_scalar("tag:yaml.org,2002:timestamp", text)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(datetime, _time)


def dump(document: object) -> str:
    """A struct, or plain data, as YAML; the order of its fields is kept.

    The fields of a struct, and the items of those that are lists, are remembered as text: of what is described anew at
    each change, most is what it was before.
    """
    plain = msgspec.to_builtins(document, builtin_types=(datetime,))
    if not isinstance(document, msgspec.Struct) or not plain:
        return _dumped(plain)
    return "".join(_field(name, value) for name, value in plain.items())


def _field(name: str, value: object) -> str:
    if not isinstance(value, list) or value == []:
        return _remembered(_key(cast("object", {name: value})))
    head = _remembered(_key({name: 0})).removesuffix(" 0\n")
    return "\n".join([head, "".join(_remembered(_key([item])) for item in cast("list[object]", value))])


def _key(part: object) -> bytes:
    return msgspec.msgpack.encode(part)


@functools.lru_cache(maxsize=1024)
def _remembered(part: bytes) -> str:
    return _dumped(msgspec.msgpack.decode(part))


def _dumped(plain: object) -> str:
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def mapping(text: bytes, kind: str, file: str, *, largest: int) -> dict[Any, Any]:
    """The mapping that a file is; `kind` is what it tells of. Raises Invalid for anything else, and for a bomb."""
    if len(text) > largest:
        raise Invalid(kind, cause=f"{file} is larger than {largest} bytes")
    try:
        _refuse_bombs(text, kind, file)
        document: object = yaml.load(text, Loader=_LOADER)  # noqa: S506 - the safe one
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise unreadable(kind, file, error) from error
    if not isinstance(document, dict):
        raise Invalid(kind, cause=f"{file} is not a mapping")
    return cast("dict[Any, Any]", document)


def convert(document: object, wanted: type[Wanted], kind: str, file: str) -> Wanted:
    """Plain data as a struct, nulls as what is not there. Raises Invalid."""
    try:
        return msgspec.convert(_without_nulls(document), wanted)
    except (msgspec.ValidationError, RecursionError, ValueError, OverflowError) as error:
        raise unreadable(kind, file, error) from error


def unreadable(kind: str, file: str, error: Exception) -> Invalid:
    """The failure for a file that cannot be understood."""
    return Invalid(kind, cause=f"{file} cannot be read: {' '.join(str(error).split())[:300]}")


def _refuse_bombs(text: bytes, kind: str, file: str) -> None:
    """A YAML bomb needs aliases, or a depth that nothing of ours has."""
    events = cast("Iterable[object]", yaml.parse(text, Loader=_LOADER))  # pyright: ignore[reportUnknownMemberType]
    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise Invalid(kind, cause=f"{file} uses YAML aliases")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise Invalid(kind, cause=f"{file} is nested more than {DEEPEST} levels deep")


def _without_nulls(value: object) -> object:
    """As Go reads null: nothing was said, in a mapping. In a list it stays, to be refused by who wants something."""
    if isinstance(value, dict):
        known = cast("dict[object, object]", value)
        return {key: _without_nulls(one) for key, one in known.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in cast("list[object]", value)]
    return value
