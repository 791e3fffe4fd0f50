"""Wire structs of operation. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from datetime import datetime
from typing import Any

from msgspec import Struct, field

from lightervisor.model.times import ZERO_TIME


class Operation(Struct, frozen=True, kw_only=True):
    """LXD's Operation."""

    id: str = ""
    class_: str = field(default="", name="class")
    description: str = ""
    created_at: datetime = ZERO_TIME
    updated_at: datetime = ZERO_TIME
    status: str = ""
    status_code: int = 0
    resources: dict[str, list[str]] | None = None
    metadata: dict[str, Any] | None = None
    may_cancel: bool = False
    err: str = ""
    location: str = ""
