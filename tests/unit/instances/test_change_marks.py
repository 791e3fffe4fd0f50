"""A running container is marked as changed before it is: the daemon may be killed at any moment."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from lightervisor.config.merge import Expanded
from lightervisor.devices.device import Refreshed
from lightervisor.errors import HostError
from lightervisor.instances import hotplug, live
from lightervisor.instances.hotplug import Hotplug
from lightervisor.instances.live import LiveChanges

ROW: Any = SimpleNamespace(project="default", name="c1")
BEFORE, AFTER = Expanded({}, {}), Expanded({"user.x": "1"}, {})


class Marks:
    """Stands for the containers, one of which runs; `seen` tells what a change to devices found."""

    def __init__(self, *, noted: bool = False) -> None:
        self.noted, self.seen = noted, list[bool]()
        self.outcome: Any = Refreshed()
        self.confinement = SimpleNamespace(change=_nothing)

    def init_pid(self, _name: str) -> int:
        return 1

    def note_change(self, _name: str) -> bool:
        is_new, self.noted = not self.noted, True
        return is_new

    def forget_change(self, _name: str) -> None:
        self.noted = False

    async def work(self, *_: object) -> Any:
        self.seen.append(self.noted)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture(autouse=True)
def guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something runs."""
    for module in (hotplug, live):
        monkeypatch.setattr(module, "guest_of", lambda _: SimpleNamespace(idmap=None))


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_look_at_the_hosts_devices(noted: bool, is_changed: bool) -> None:
    marks = Marks(noted=noted)
    marks.outcome = Refreshed(is_changed)
    one: Any = SimpleNamespace(get=lambda *_: ROW, expand=lambda _: BEFORE, refresh=marks.work)
    containers: Any = marks
    look = Hotplug(one, one, one, containers, one, _nothing)
    asyncio.run(look._refresh(("default", "c1"), []))
    assert marks.seen == [True]
    assert marks.noted == (noted or is_changed), "what nothing was changed in may reboot by itself"


@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_change_of_configuration(noted: bool, fails: bool) -> None:
    marks = Marks(noted=noted)
    marks.outcome = (
        HostError("disk", "d", cause="no")
        if fails
        else SimpleNamespace(volatile={}, failure=None, replaced=frozenset())
    )
    one: Any = SimpleNamespace(change=marks.work, follow=_nothing, tell=lambda *_: None)
    containers: Any = marks
    changes = LiveChanges(one, one, one, one, one, containers)
    if fails:
        with pytest.raises(HostError):
            asyncio.run(changes._apply(ROW, BEFORE, AFTER))
    else:
        asyncio.run(changes._apply(ROW, BEFORE, AFTER))
    assert marks.seen == [True]
    assert marks.noted == (noted or not fails)


async def _nothing(*_: object) -> None:
    pass
