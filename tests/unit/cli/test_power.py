"""Starting, stopping and the rest, and what is said when they fail."""

from __future__ import annotations

import pytest

from lightervisor.cli import main
from tests.unit.cli.conftest import Client

FAILED = {"id": "o", "status_code": 400, "err": "No room"}
DONE = {"id": "o", "status_code": 200}


@pytest.fixture
def lxc(client: Client) -> Client:
    client.server.answers = {
        "GET /1.0/instances/c1": {"status": "Stopped"},
        "GET /1.0/instances/c2": {"status": "Frozen"},
        "GET /1.0/instances?recursion=1": [
            {"name": "c1", "status": "Stopped"},
            {"name": "c2", "status": "Frozen"},
            {"name": "c3", "status": "Running"},
            {"name": "c4", "status": "Ready"},
        ],
    }
    client.server.asynchronous = {f"PUT /1.0/instances/c{number}/state": DONE for number in (1, 2, 3, 4)}
    return client


def actions(lxc: Client) -> dict[str, str]:
    """What was asked for, by instance."""
    return {line.split("/")[3]: body["action"] for line, body in lxc.server.sent.items()}


def test_a_frozen_instance_is_thawed_by_start(lxc: Client) -> None:
    lxc("start", "c1", "c2")
    assert actions(lxc) == {"c1": "start", "c2": "unfreeze"}


def test_all_means_those_that_can_be_changed(lxc: Client) -> None:
    lxc("stop", "--all", "--force")
    assert actions(lxc) == {"c2": "stop", "c3": "stop", "c4": "stop"}
    assert lxc.server.sent["PUT /1.0/instances/c3/state"]["force"] is True


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "pause"])
def test_a_failure_says_where_the_log_is(lxc: Client, verb: str) -> None:
    lxc.server.asynchronous["PUT /1.0/instances/c1/state"] = FAILED
    assert lxc.fail(verb, "c1") == "No room\nTry `lxc info --show-log c1` for more info"


@pytest.mark.parametrize("text", ["The instance is already running", "The container is not running"])
def test_where_nothing_was_done_no_log_is_worth_reading(lxc: Client, text: str) -> None:
    lxc.server.asynchronous["PUT /1.0/instances/c1/state"] = {**FAILED, "err": text}
    assert lxc.fail("start", "c1") == text


def test_one_failure_of_many_stops_none_of_the_others(lxc: Client, capsys: pytest.CaptureFixture[str]) -> None:
    lxc.server.asynchronous["PUT /1.0/instances/c1/state"] = FAILED
    assert main.run(["stop", "c1", "c2", "c3"], lxc.environ) == 1
    assert set(actions(lxc)) == {"c1", "c2", "c3"}
    assert capsys.readouterr().err == (
        "c1: error: No room\nc1: Try `lxc info --show-log c1` for more info\n\nError: Some instances failed to stop\n"
    )
