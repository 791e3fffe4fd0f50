"""The end of moving what runs: an ephemeral source goes by itself, and a start whose answer is lost is asked after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from lightervisor.cli import config, move_running, session
from lightervisor.cli.copy_between import Transfer
from lightervisor.cli.errors import CommandError
from lightervisor.client.light import ApiError, Server
from lightervisor.client.light_http import Response
from tests.unit.cli.conftest import Scripted

if TYPE_CHECKING:
    from lightervisor.client.light_http import Readable

C1, STATE = "/1.0/instances/c1", "/1.0/instances/c1/state"


class Place(Scripted):
    """A server that notes what it is told to do; `lost` are requests whose answers never come."""

    def __init__(self, *lost: str) -> None:
        super().__init__()
        self.lost, self.told = lost, list[str]()
        self.answers["GET /1.0"] = {"api_extensions": []}  # a real LXD

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | Readable | None) -> Response:
        answer = super().exchange(method, path, headers, body)
        if method != "GET":
            self.told.append(self.sent[f"{method} {path}"]["action"] if path == STATE else method)
        if f"{method} {path}" in self.lost:
            raise ConnectionError("reset by peer")
        return answer


class Passes(Transfer):
    """Both passes come to a good end."""

    def run(self, mode: str, wishes: dict[str, Any]) -> dict[str, Any]:
        return {}


def move(here: Place, there: Place) -> None:
    one = session.Session(config.Config("", {}, {}, {}), {})
    source, target = Server(lambda: here, name="here"), Server(lambda: there, name="there")
    passes = Passes(one, source, C1, target, {"name": "c1"})
    move_running.run(one, source, "c1", passes, "", {})


def test_an_ephemeral_source_is_gone_when_it_has_stopped() -> None:
    here = Place()
    here.answers[f"DELETE {C1}"] = (404, "Instance not found")
    move(here, Place())
    assert here.told == ["freeze", "stop", "DELETE"]


def test_a_source_that_cannot_be_deleted_is_told_of() -> None:
    here = Place()
    here.answers |= {f"DELETE {C1}": (400, "it is protected"), f"GET {C1}": {"status": "Stopped"}}
    with pytest.raises(ApiError, match="protected"):
        move(here, Place())


def test_a_start_whose_answer_was_lost_ends_the_move_when_it_runs_there() -> None:
    here, there = Place(), Place(f"PUT {STATE}")
    there.answers |= {f"DELETE {C1}": (400, "Instance is running"), f"GET {C1}": {"status": "Running"}}
    move(here, there)
    assert here.told == ["freeze", "stop", "DELETE"]


def test_it_goes_on_here_when_it_does_not_run_there() -> None:
    here, there = Place(), Place(f"PUT {STATE}")
    with pytest.raises(ConnectionError):
        move(here, there)
    assert here.told == ["freeze", "unfreeze"]
    assert there.told[-1] == "DELETE"


def test_it_does_not_go_on_here_while_it_may_run_there() -> None:
    here, there = Place(), Place(f"PUT {STATE}", f"DELETE {C1}")
    with pytest.raises(CommandError, match=r"does not say whether c1 has started there .* it stays frozen on here"):
        move(here, there)
    assert here.told == ["freeze"]
