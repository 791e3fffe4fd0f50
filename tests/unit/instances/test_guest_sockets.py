"""How much a guest may have, and who is let in."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lightervisor.instances import guest_sockets
from lightervisor.instances.guest_sockets import Allowance, GuestSockets
from lightervisor.kernel.guests import Guest


def test_an_allowance_comes_back_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(guest_sockets.time, "monotonic", lambda: now)
    allowance = Allowance(per_s=10, burst=20)
    assert allowance.take(20) == 0
    assert allowance.take(5) == pytest.approx(0.5)
    assert allowance.take(5) == pytest.approx(1.0)
    now += 1.0
    assert allowance.take(0) == 0
    now += 100
    assert allowance.take(20) == 0, "it is never more than the burst"
    assert allowance.take(1) == pytest.approx(0.1)


async def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 100)
    directory.mkdir()
    sockets = GuestSockets(directory)
    place = sockets.prepare("project", "n" * 63, lambda _: None)
    assert (place / "sock").is_socket()
    assert place.name == f"project_{'n' * 63}"
    sockets.remove("project", "n" * 63)
    assert not place.exists()
    sockets.remove("project", "n" * 63)


async def test_who_connects_waits_until_the_container_runs_and_is_no_guest_from_outside(tmp_path: Path) -> None:
    sockets = GuestSockets(tmp_path)
    place = sockets.prepare("default", "c1", lambda _: Guest(1))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place / "sock"))
        sockets.open("default", "c1")
        arrived = await sockets.next()
        assert arrived.refusal == "pid not in container?"
        sockets.remove("default", "c1")
        assert client.recv(1) == b""
        arrived.ended()
        arrived.socket.close()
