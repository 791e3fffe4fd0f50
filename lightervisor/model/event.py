"""Wire structs of event. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from lightervisor.model.times import ZERO_TIME


class Event(Struct, frozen=True, kw_only=True):
    """LXD's Event."""

    type: str = ""
    timestamp: datetime = ZERO_TIME
    metadata: Any = None
    location: str | UnsetType = UNSET
    project: str | UnsetType = UNSET


class EventLogging(Struct, frozen=True, kw_only=True):
    """LXD's EventLogging."""

    message: str = ""
    level: str = ""
    context: dict[str, str] = {}


class EventLifecycleRequestor(Struct, frozen=True, kw_only=True):
    """LXD's EventLifecycleRequestor."""

    username: str = ""
    protocol: str = ""
    address: str = ""


class EventLifecycle(Struct, frozen=True, kw_only=True):
    """LXD's EventLifecycle."""

    action: str = ""
    source: str = ""
    context: dict[str, Any] | UnsetType = UNSET
    requestor: EventLifecycleRequestor | UnsetType = UNSET
