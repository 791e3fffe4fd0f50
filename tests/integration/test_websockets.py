"""Websockets of exec and console that nobody brings, or somebody who may not: the operation ends and lets all go."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemon import Daemon, UnixConnection
from tests.harness.processes import eventually

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
COMMAND = {"command": ["sh", "-c", "echo ran >/root/ran"], "wait-for-websocket": True}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "exec": ("exec", {**COMMAND, "interactive": False}),
    "exec on a terminal": ("exec", {**COMMAND, "interactive": True, "width": 80, "height": 25}),
    "console": ("console", {"width": 80, "height": 25}),
}


class Waiting:
    """An operation that waits for its websockets."""

    def __init__(self, daemon: Daemon, name: str, kind: str) -> None:
        self._daemon, (what, body) = daemon, KINDS[kind]
        answer = daemon.request("POST", f"/1.0/instances/{name}/{what}", body)
        assert answer.status == 202, answer.body
        self.url = answer.envelope["operation"]
        self.secrets: dict[str, str] = answer.envelope["metadata"]["metadata"]["fds"]

    @contextmanager
    def socket(self, secret: str) -> Iterator[http.client.HTTPResponse]:
        """A websocket that says nothing, as long as the context lasts: the server's answer."""
        connection = UnixConnection(self._daemon.state / "unix.socket", 30)
        try:
            connection.request("GET", f"{self.url}/websocket?secret={secret}", headers=UPGRADE)
            yield connection.getresponse()
        finally:
            connection.close()

    def refusal(self, secret: str) -> tuple[int, str]:
        """What somebody is told who brings this secret."""
        answer = self._daemon.request("GET", f"{self.url}/websocket?secret={secret}", headers=UPGRADE)
        return answer.status, answer.error

    def timed_out(self) -> bool:
        """Wait for the end: whether it is the one of those that nobody came to."""
        ended = self._daemon.request("GET", f"{self.url}/wait").metadata
        return (ended["status"], ended["err"]) == ("Failure", "Timed out waiting for websockets to connect")


@pytest.fixture
def waiting(daemon: Daemon, running: str) -> Iterator[list[Waiting]]:
    """Operations of every kind; afterwards nothing of them must be left."""
    before = open_files(daemon)
    yield [Waiting(daemon, running, kind) for kind in KINDS]
    eventually(lambda: open_files(daemon) <= before, what="their descriptors to be closed")
    assert daemon.request("GET", f"/1.0/instances/{running}/files?path=/root/ran").status == 404


def open_files(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def test_a_wrong_secret_is_refused_and_disturbs_nobody(waiting: list[Waiting]) -> None:
    for one in waiting:
        for secret in ("wrong", "%00", "%C3%A9", "0" * 64, "x" * 5000, one.secrets["0"][:-1]):
            assert one.refusal(secret) == (403, "not authorized")
        assert one.refusal("") == (400, "missing secret")
        with one.socket(one.secrets["0"]) as answer:
            assert answer.status == 101
            assert one.refusal(one.secrets["0"]) == (403, "not authorized")  # it works once


def test_sockets_that_never_come_are_not_waited_for(waiting: list[Waiting]) -> None:
    for one in waiting:
        assert one.timed_out()
        assert one.refusal(one.secrets["0"]) == (400, "Only running operations can be connected")


def test_a_socket_that_comes_alone_is_let_go(waiting: list[Waiting]) -> None:
    with ExitStack() as stack:
        answers = [stack.enter_context(one.socket(one.secrets["control"])) for one in waiting]
        for one, answer in zip(waiting, answers, strict=True):
            assert answer.status == 101
            assert one.timed_out()
            assert answer.fp.read(1) == b"\x88"  # a frame that says farewell
