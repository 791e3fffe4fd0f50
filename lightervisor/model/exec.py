"""Wire structs of exec. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from typing import Annotated

from msgspec import Meta, Struct, field


class InstanceExecControl(Struct, frozen=True, kw_only=True):
    """LXD's InstanceExecControl; a signal is a C int."""

    command: str = ""
    args: dict[str, str] = {}
    signal: Annotated[int, Meta(ge=-(1 << 31), lt=1 << 31)] = 0


class InstanceExecPost(Struct, frozen=True, kw_only=True):
    """LXD's InstanceExecPost."""

    command: list[str] = []
    wait_for_websocket: bool = field(default=False, name="wait-for-websocket")
    interactive: bool = False
    environment: dict[str, str] = {}
    width: int = 0
    height: int = 0
    record_output: bool = field(default=False, name="record-output")
    user: int = 0
    group: int = 0
    cwd: str = ""
