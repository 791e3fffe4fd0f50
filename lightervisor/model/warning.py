"""Wire structs of warning. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime

from msgspec import Struct

from lightervisor.model.times import ZERO_TIME


class WarningPut(Struct, frozen=True, kw_only=True):
    """LXD's WarningPut."""

    status: str = ""


class Warning(WarningPut, frozen=True, kw_only=True):
    """LXD's Warning."""

    uuid: str = ""
    location: str = ""
    project: str = ""
    type: str = ""
    count: int = 0
    first_seen_at: datetime = ZERO_TIME
    last_seen_at: datetime = ZERO_TIME
    last_message: str = ""
    severity: str = ""
    entity_url: str = ""
