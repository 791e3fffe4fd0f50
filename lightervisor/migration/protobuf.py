"""Messages of protocol buffers, as far as migration needs them: whole numbers, truth values, texts, messages, lists.

A message is a Struct whose `WIRE` says which number each field has. What a peer sends is not trusted: numbers that are
not known are skipped, what is cut off or of another shape is Invalid. Source: protobuf.dev, encoding (proto2).
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, TypeVar, cast

from msgspec import Struct

from lightervisor.errors import Invalid

LARGEST = 4 << 20
"""Most bytes of one message: some four thousand snapshots' descriptions."""
MOST_FIELDS = LARGEST // 8
"""Most fields of one message with those in it: what describes snapshots has one in some fifteen bytes."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
Kind = TypeVar("Kind", bound="Message")


class Message(Struct, frozen=True, kw_only=True):
    """A message; what a field has as default is what it has when it was not sent."""

    WIRE: ClassVar[Mapping[int, tuple[str, "type[bool | int | str | Message]"]]] = {}
    REQUIRED: ClassVar[tuple[str, ...]] = ()

    def encode(self) -> bytes:
        """The message's bytes; fields that are None are left out."""
        out = bytearray()
        for number, (name, _) in self.WIRE.items():
            value = getattr(self, name)
            for one in cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,):
                if one is not None:
                    _put(out, number, one)
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """A message from its bytes. Raises Invalid."""
        if len(data) > LARGEST:
            raise _broken(f"it has more than {LARGEST >> 20} MiB")
        return _decoded(cls, memoryview(data), iter(range(MOST_FIELDS)))


def _decoded(kind: type[Kind], data: memoryview, left: Iterator[int]) -> Kind:
    """A message; `left` has one item for each field that there may still be."""
    found: dict[str, Any] = {}
    lists = {name for name, default in _defaults(kind).items() if isinstance(default, tuple)}
    for number, value in _fields(data):
        if next(left, None) is None:
            raise _broken(f"it has more than {MOST_FIELDS} fields")
        if number not in kind.WIRE:
            continue
        name, of = kind.WIRE[number]
        read = _read(of, value, left)
        if name in lists:
            found.setdefault(name, []).append(read)
        else:
            found[name] = read
    if missing := [name for name in kind.REQUIRED if name not in found]:
        raise _broken(f"{missing[0]} is missing")
    return kind(**{name: tuple(value) if name in lists else value for name, value in found.items()})


def _defaults(kind: type[Message]) -> dict[str, Any]:
    names, values = kind.__struct_fields__, kind.__struct_defaults__
    return dict(zip(names[len(names) - len(values) :], values, strict=True))


def _put(out: bytearray, number: int, value: bool | int | str | Message) -> None:
    if isinstance(value, int):
        _put_varint(out, number << 3 | _VARINT)
        _put_varint(out, int(value) & (1 << 64) - 1)
        return
    data = value.encode() if isinstance(value, Message) else value.encode("utf-8", "surrogateescape")
    _put_varint(out, number << 3 | _BYTES)
    _put_varint(out, len(data))
    out += data


def _put_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, shape = key >> 3, key & 7
        if shape == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if shape == _BYTES:
            length, place = _varint(data, place)
        elif shape in _FIXED:
            length = _FIXED[shape]
        else:
            raise _broken(f"its field {number} has the shape {shape}")
        if length > len(data) - place:
            raise _broken("it ends in the middle of a field")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _broken("it ends in the middle of a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, place
    raise _broken("a number in it has no end")


def _read(
    kind: type[bool | int | str | Message], value: int | memoryview, left: Iterator[int]
) -> bool | int | str | Message:
    if isinstance(value, int):
        if kind is bool:
            return bool(value)
        if kind is int:
            return value - (1 << 64) if value >> 63 else value
    elif issubclass(kind, Message):
        return _decoded(kind, value, left)
    elif kind is str:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError as error:
            raise _broken("a text in it is not UTF-8") from error
    raise _broken("a field in it is of another kind")


def _broken(cause: str) -> Invalid:
    return Invalid("migration message", cause=cause)
