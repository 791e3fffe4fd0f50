"""Events as log lines; the samples come from the real client."""

from __future__ import annotations

import posix
from typing import Any

import pytest

from lightervisor.cli import log_lines
from lightervisor.cli.errors import CommandError

LOGGING: dict[str, Any] = {
    "type": "logging",
    "timestamp": "2026-11-21T11:25:31.9814Z",
    "metadata": {"level": "warn", "message": "No room", "context": {"b": "x y", "a": "1"}},
}
LIFECYCLE: dict[str, Any] = {
    "type": "lifecycle",
    "timestamp": "2026-11-21T11:25:31Z",
    "metadata": {
        "action": "instance-exec",
        "source": "/1.0/instances/c1",
        "context": {"command": ["echo", '\u2028é"\x01']},
        "requestor": {"protocol": "unix", "username": "root", "address": "@"},
    },
}
OPERATION: dict[str, Any] = {
    "type": "operation",
    "timestamp": "2026-11-21T11:25:31.9+01:00",
    "metadata": {
        "id": "i",
        "class": "task",
        "description": "Updating instance",
        "created_at": "2026-11-21T11:25:31.981500Z",
        "updated_at": "2026-11-21T11:25:31+01:00",
        "status": "Running",
        "status_code": 103,
        "resources": {"instances": ["/1.0/instances/c1"]},
        "metadata": {"b": None, "a": [1, 2.5, True]},
        "may_cancel": False,
        "err": "",
        "location": "none",
    },
}


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run on one."""
    monkeypatch.setattr(posix, "isatty", lambda _fd: False)


def test_a_log_message_keeps_its_level_and_context() -> None:
    line = 'time="2026-11-21T11:25:31Z" level=warning msg="No room" a=1 b="x y"\n'
    assert log_lines.drawer("")(LOGGING) == line


def test_lifecycle_events_say_who_did_what() -> None:
    line = (
        'time="2026-11-21T11:25:31Z" level=info msg="Action: instance-exec, Source: /1.0/instances/c1, '
        'Requestor: unix/root (@)" command="[echo \\u2028é\\"\\x01]"\n'
    )
    assert log_lines.drawer("")(LIFECYCLE) == line


def test_operations_are_shown_as_go_prints_values() -> None:
    line = (
        'time="2026-11-21T11:25:31+01:00" level=info msg="ID: i, Class: task, Description: Updating instance" '
        'CreatedAt="2026-11-21 11:25:31.9815 +0000 UTC" Err= Location=none MayCancel=false '
        'Metadata="map[a:[1 2.5 true] b:<nil>]" Resources="map[instances:[/1.0/instances/c1]]" Status=Running '
        'StatusCode=Running UpdatedAt="2026-11-21 11:25:31 +0100 +0100"\n'
    )
    assert log_lines.drawer("")(OPERATION) == line


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "isatty", lambda _fd: True)
    line = f'\x1b[33mWARNING\x1b[0m[2026-11-21T11:25:31Z] {"No room":<44}  \x1b[33ma\x1b[0m=1 \x1b[33mb\x1b[0m="x y"\n'
    assert log_lines.drawer("")(LOGGING) == line


def test_less_important_messages_are_left_out() -> None:
    assert log_lines.drawer("warn")(LOGGING) != ""
    assert log_lines.drawer("error")(LOGGING) == ""
    assert log_lines.drawer("warn")(LIFECYCLE) == ""


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(CommandError, match='not a valid logrus Level: "x"'):
        log_lines.drawer("x")
