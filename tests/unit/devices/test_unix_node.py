"""What a privileged container may open: the devices that it has; none that has gone or failed to come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lightervisor.devices import unix_node
from lightervisor.devices.device import InstanceFacts, Slot
from lightervisor.devices.unix_node import UnixBlock, UnixChar, UnixNode
from lightervisor.errors import HostError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
GUEST: Any = None
ALLOW, DENY = ("allow", "b 8:0 rwm"), ("deny", "b 8:0 rwm")


class Box:
    """A privileged container, and what was told of what it may open."""

    def __init__(self, place: Path) -> None:
        self.told: list[tuple[str, str]] = []
        self.failing = ""
        self.facts = InstanceFacts(name="c1", devices_dir=place / "c1", set_devices=self._set)

    def _set(self, verb: str, rule: str) -> None:
        self.told.append((verb, rule))
        if verb == self.failing:
            raise HostError("cgroup", "c1", cause="it cannot")

    def device(self, kind: type[UnixNode], name: str) -> UnixNode:
        """One with the numbers 8 and 0."""
        return kind(name, {"type": kind.kind, "path": f"/dev/{name}", "major": "8", "minor": "0"}, self.facts)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """One where all can be mounted that exists."""
    monkeypatch.setattr(unix_node.syscalls, "open_tree", lambda node: os.open(node.parent, os.O_PATH))
    monkeypatch.setattr(unix_node.guest_mounts, "attach", lambda *_, **__: None)
    monkeypatch.setattr(unix_node.guest_mounts, "detach", lambda *_, **__: None)
    return Box(tmp_path)


def test_what_cannot_be_shown_may_not_be_opened_either(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(unix_node.guest_mounts, "attach", refuse)
    with pytest.raises(HostError, match="Read-only"):
        box.device(UnixBlock, "disk").plug(Slot(), GUEST)
    assert box.told == [ALLOW, DENY]
    box.failing = "deny"
    with pytest.raises(HostError, match="Read-only"):
        box.device(UnixBlock, "disk").plug(Slot(), GUEST)


def test_a_node_that_cannot_be_made_may_not_be_opened_either(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "mknod", refuse)
    with pytest.raises(HostError, match="No space"):
        box.device(UnixBlock, "disk").plug(Slot(), GUEST)
    assert box.told == [ALLOW, DENY]


def test_what_another_device_shows_stays_open(box: Box) -> None:
    first, second = box.device(UnixBlock, "one"), box.device(UnixBlock, "two")
    first.plug(Slot(), GUEST)
    second.plug(Slot(), GUEST)
    first.take_away(GUEST)
    assert box.told == [ALLOW, ALLOW]
    second.take_away(GUEST)
    assert box.told == [ALLOW, ALLOW, DENY]


def test_numbers_of_another_kind_are_another_device(box: Box) -> None:
    box.device(UnixChar, "tape").plug(Slot(), GUEST)
    disk = box.device(UnixBlock, "disk")
    disk.plug(Slot(), GUEST)
    disk.take_away(GUEST)
    assert box.told == [("allow", "c 8:0 rwm"), ALLOW, DENY]
