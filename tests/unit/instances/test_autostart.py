"""The order in which instances are started with the daemon."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from lightervisor.errors import Failure
from lightervisor.instances import autostart
from lightervisor.instances.autostart import Autostart

TOOK_S = 0.02


class Host:
    """Instances that start by waiting a moment; what is told of it."""

    def __init__(self, instances: dict[str, dict[str, str]], bad: dict[str, int] | None = None) -> None:
        self.told: list[str] = []
        self.most = self._now = 0
        self._bad = bad or {}
        self._instances = instances
        self.warned: list[str] = []

    def run(self) -> None:
        """Start what is due."""
        parts: Any = (
            SimpleNamespace(expanded=self._expanded, status=lambda _project, name: "Stopped"),
            SimpleNamespace(start_at_boot=self._start),
            SimpleNamespace(upsert=self._warn, resolve=self._resolve),
        )

        async def work() -> None:
            await Autostart(*parts).run()

        asyncio.run(work())

    def _expanded(self) -> Any:
        return [
            (SimpleNamespace(project="default", name=name, config=config), {"boot.autostart": "true", **config})
            for name, config in self._instances.items()
        ]

    async def _start(self, _project: str, name: str) -> None:
        self.told.append(f"{name} begins")
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(TOOK_S)
        self._now -= 1
        if self._bad.get(name, 0) > 0:
            self._bad[name] -= 1
            raise Failure("instance", name, cause="cannot be started")
        self.told.append(f"{name} runs")

    async def _warn(self, _kind: str, message: str, *, entity_url: str) -> None:
        self.warned.append(entity_url)

    async def _resolve(self, _kind: str, *, entity_url: str) -> None:
        self.warned = [one for one in self.warned if one != entity_url]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processors, and no long pauses between attempts."""
    monkeypatch.setattr(autostart.os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    monkeypatch.setattr(autostart, "BETWEEN_ATTEMPTS_S", 0)


def test_those_of_one_priority_start_at_once_but_only_a_few() -> None:
    host = Host({f"c{number}": {} for number in range(10)})
    host.run()
    assert host.most == 4
    assert len(host.told) == 20


def test_what_may_run_on_another_server_waits_for_somebody_to_start_it() -> None:
    host = Host({"a": {}, "moved": {"volatile.last_state.handed_over": "true"}})
    host.run()
    assert host.told == ["a begins", "a runs"]


def test_a_lower_priority_waits_for_the_higher() -> None:
    host = Host({"a": {}, "b": {"boot.autostart.priority": "5"}, "c": {"boot.autostart.priority": "5"}})
    host.run()
    assert host.told[:2] == ["b begins", "c begins"]
    assert host.told[4:] == ["a begins", "a runs"]


def test_behind_a_delay_the_others_wait() -> None:
    host = Host({"a": {}, "b": {"boot.autostart.delay": "1"}, "c": {}})
    loop_time: list[float] = []
    start = host._start

    async def timed(project: str, name: str) -> None:
        await start(project, name)
        loop_time.append(asyncio.get_running_loop().time())

    host._start = timed  # type: ignore[method-assign]
    host.run()
    assert host.told.index("b runs") < host.told.index("c begins")
    assert loop_time[2] - loop_time[1] >= 1


def test_what_fails_is_tried_again_after_the_others_and_warned_of() -> None:
    host = Host({"a": {}, "b": {"boot.autostart.priority": "9"}}, bad={"b": 2})
    host.run()
    assert host.told == ["b begins", "a begins", "a runs", "b begins", "b begins", "b runs"]
    assert host.warned == []


def test_what_never_starts_keeps_its_warning_and_nobody_waits_for_its_delay() -> None:
    host = Host({"a": {"boot.autostart.delay": "600"}, "b": {}}, bad={"a": 99})
    host.run()
    assert host.told.count("a begins") == 3
    assert host.told.count("b runs") == 1
    assert set(host.warned) == {"/1.0/instances/a"}
