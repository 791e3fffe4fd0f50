"""JSON bodies to structs, as forgiving as Go's decoder: unknown fields are ignored and null means "absent"."""

from typing import Any, TypeVar

import msgspec

from lightervisor.errors import Invalid

Wire = TypeVar("Wire")


def decode(body: bytes, wanted: type[Wire]) -> Wire:
    """Decode a request body; raises Invalid (400) with the decoder's message for bad syntax or wrong types."""
    try:
        return msgspec.convert(without_nulls(msgspec.json.decode(body or b"{}")), wanted)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("request body", cause=str(error)) from error


def without_nulls(value: Any) -> Any:
    """The same JSON value less every key whose value is null (stock clients send null for empty maps)."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}  # type: ignore[reportUnknownVariableType]  # JSON
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]  # type: ignore[reportUnknownVariableType]  # JSON
    return value
