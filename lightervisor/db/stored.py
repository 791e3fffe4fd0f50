"""What rows of instances and of their snapshots have in common. Configuration, devices and names are JSON columns."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

IN_COMMON = "architecture, ephemeral, stateful, description, created_at, last_used_at, config, devices, profiles"
decode_map = msgspec.json.Decoder(dict[str, str]).decode
_decode_devices = msgspec.json.Decoder(dict[str, dict[str, str]]).decode
_decode_list = msgspec.json.Decoder(list[str]).decode


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of an instance, and of what it was when a snapshot was taken."""

    architecture: str
    created_at: datetime
    last_used_at: datetime
    ephemeral: bool = False
    stateful: bool = False
    description: str = ""
    config: dict[str, str] = {}
    devices: dict[str, dict[str, str]] = {}
    profiles: list[str] = []


def in_common(values: Sequence[Any]) -> dict[str, Any]:
    """The fields of a Stored by the values of the columns IN_COMMON."""
    return {
        "architecture": values[0],
        "ephemeral": bool(values[1]),
        "stateful": bool(values[2]),
        "description": values[3],
        "created_at": datetime.fromisoformat(values[4]),
        "last_used_at": datetime.fromisoformat(values[5]),
        "config": decode_map(values[6]),
        "devices": _decode_devices(values[7]),
        "profiles": _decode_list(values[8]),
    }


def values_in_common(row: Stored) -> tuple[str | int, ...]:
    """The values of the columns IN_COMMON."""
    return (
        row.architecture, row.ephemeral, row.stateful, row.description, row.created_at.isoformat(),
        row.last_used_at.isoformat(), encode(row.config), encode(row.devices), encode(row.profiles),
    )  # fmt: skip


def encode(value: object) -> str:
    """What is stored in a JSON column."""
    return msgspec.json.encode(value).decode()
