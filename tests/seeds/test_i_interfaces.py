"""Rows I1, I2: the API and its websockets."""

from __future__ import annotations

import json
import re

from tests.seeds.conftest import Shell


def test_i1_what_the_client_does_is_an_api_call(shell: Shell, running: str) -> None:
    debug = shell(f"lxc --debug config set {running} user.key value")
    assert debug.status == 0
    assert json.loads(shell(f"lxc query /1.0/instances/{running}").ok().stdout)["config"]["user.key"] == "value"


def test_i2_exec_and_events_are_websockets(shell: Shell, running: str) -> None:
    body = json.dumps({"command": ["true"], "wait-for-websocket": True, "interactive": True})
    started = json.loads(shell(f"lxc query -X POST -d '{body}' /1.0/instances/{running}/exec").ok().stdout)
    assert started["class"] == "websocket"
    assert set(started["metadata"]["fds"]) == {"0", "control"}
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in started["metadata"]["fds"].values())
