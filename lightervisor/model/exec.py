"""Wire structs of exec. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import Struct, field


class InstanceExecControl(Struct, frozen=True, kw_only=True):
    """LXD's InstanceExecControl."""

    command: str = ""
    args: dict[str, str] = {}
    signal: int = 0


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
