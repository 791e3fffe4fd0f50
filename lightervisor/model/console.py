"""Wire structs of console. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import Struct


class InstanceConsoleControl(Struct, frozen=True, kw_only=True):
    """LXD's InstanceConsoleControl."""

    command: str = ""
    args: dict[str, str] = {}


class InstanceConsolePost(Struct, frozen=True, kw_only=True):
    """LXD's InstanceConsolePost."""

    width: int = 0
    height: int = 0
    type: str = ""
