"""`lxc monitor`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lightervisor.client.light import Server
from tests.unit.cli.conftest import Client

EVENT: dict[str, Any] = {
    "type": "lifecycle",
    "timestamp": "2026-11-21T11:25:31.981500Z",
    "metadata": {"source": "/1.0/instances/c1", "action": "instance-é", "context": None},
    "location": "none",
}
LOG: dict[str, Any] = {
    "type": "logging",
    "timestamp": "2026-11-21T11:25:31Z",
    "metadata": {"level": "debug", "message": "<m>", "context": {}},
    "location": "none",
}


class Events:
    """A websocket that says two things and ends."""

    def __init__(self) -> None:
        self.path = ""
        self._left = [json.dumps(event).encode() for event in (EVENT, LOG)]

    def receive(self) -> tuple[int, bytes] | None:
        """The next message."""
        return (1, self._left.pop(0)) if self._left else None

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Events:
    events = Events()

    def connect(_server: Server, path: str) -> Events:
        events.path = path
        return events

    monkeypatch.setattr(Server, "websocket", connect)
    return events


def run(client: Client, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is printed until the server hangs up, which is an error."""
    from lightervisor.cli import main

    assert main.run(["monitor", *words], client.environ) == 1
    out, err = capsys.readouterr()
    assert err.startswith("Error: local ended the connection")
    return out


def test_yaml_is_a_document_for_each_event_with_two_empty_lines(
    client: Client, events: Events, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(client, capsys) == (
        "location: none\nmetadata:\n  action: instance-é\n  context: null\n  source: /1.0/instances/c1\n"
        'timestamp: "2026-11-21T11:25:31.9815Z"\ntype: lifecycle\n\n\n'
        "location: none\nmetadata:\n  context: {}\n  level: debug\n  message: <m>\n"
        'timestamp: "2026-11-21T11:25:31Z"\ntype: logging\n\n\n'
    )


def test_json_is_a_line_for_each_event_with_an_empty_line(
    client: Client, events: Events, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run(client, capsys, "--format=json").split("\n\n")[:2]
    assert first == (
        '{"location":"none","metadata":{"action":"instance-é","context":null,"source":"/1.0/instances/c1"},'
        '"timestamp":"2026-11-21T11:25:31.9815Z","type":"lifecycle"}'
    )
    assert "\\u003cm\\u003e" in second


def test_pretty_is_a_log(client: Client, events: Events, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(run(client, capsys, "--pretty").splitlines()) == 2


def test_a_level_hides_lesser_messages(client: Client, events: Events, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(run(client, capsys, "--pretty", "--loglevel", "info").splitlines()) == 1


def test_types_and_projects_are_asked_of_the_server(
    client: Client, events: Events, capsys: pytest.CaptureFixture[str]
) -> None:
    run(client, capsys, "--type=lifecycle", "--all-projects")
    assert events.path == "/1.0/events?type=lifecycle&all-projects=true"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("-f table", "Invalid format: table"),
        ("--loglevel info", "Log level filtering can only be used with pretty formatting"),
        ("--pretty --loglevel x", 'not a valid logrus Level: "x"'),
    ],
)
def test_what_cannot_be_shown_is_refused(client: Client, words: str, text: str) -> None:
    assert client.fail("monitor", *words.split()) == text
