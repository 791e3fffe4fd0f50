"""What guests are told of changes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from lightervisor.config.merge import Expanded
from lightervisor.instances.guest_events import TYPES, GuestEvents

DISK = {"type": "disk", "path": "/mnt", "source": "/srv"}


async def told(
    before: Expanded, after: Expanded, *, replaced: frozenset[str] = frozenset(), types: tuple[str, ...] = TYPES
) -> list[tuple[str, dict[str, Any]]]:
    """Type and metadata of the events of one change."""
    events = GuestEvents()
    with (
        events.subscribe("default", "c1", frozenset(types)) as own,
        events.subscribe("default", "c2", frozenset(TYPES)) as other,
    ):
        events.changed("default", "c1", before, after, replaced)
        own.end()
        other.end()
        heard = [json.loads(event) async for event in own]
        assert [event async for event in other] == []
    assert all(list(event) == ["type", "timestamp", "metadata"] for event in heard)
    return [(event["type"], event["metadata"]) for event in heard]


async def test_user_keys_alone_are_told() -> None:
    before = Expanded({"user.a": "1", "user.c": "x", "limits.cpu": "1"}, {})
    after = Expanded({"user.a": "2", "user.b": "3", "limits.cpu": "2", "cloud-init.user-data": "x"}, {})
    assert await told(before, after) == [
        ("config", {"key": "user.a", "old_value": "1", "value": "2"}),
        ("config", {"key": "user.b", "old_value": "", "value": "3"}),
        ("config", {"key": "user.c", "old_value": "x", "value": ""}),
    ]
    assert await told(before, after, types=("device",)) == []


async def test_devices_come_go_and_change() -> None:
    assert await told(Expanded({}, {}), Expanded({}, {"d": DISK})) == [
        ("device", {"action": "added", "config": DISK, "name": "d"})
    ]
    assert await told(Expanded({}, {"d": DISK}), Expanded({}, {})) == [
        ("device", {"action": "removed", "config": DISK, "name": "d"})
    ]
    other = {**DISK, "readonly": "true"}
    change = Expanded({}, {"d": DISK}), Expanded({}, {"d": other})
    assert await told(*change) == [("device", {"action": "updated", "config": other, "name": "d"})]
    replaced = await told(*change, replaced=frozenset({"d", "unchanged"}))
    assert [metadata["action"] for _, metadata in replaced] == ["removed", "added"]
    masked = await told(Expanded({}, {"d": DISK}), Expanded({}, {"d": {"type": "none"}}))
    assert [metadata["action"] for _, metadata in masked] == ["removed", "added"]


async def test_one_who_does_not_listen_is_cut_off() -> None:
    events = GuestEvents()
    with events.subscribe("default", "c1", frozenset(TYPES)) as deaf:
        for number in range(5000):
            was, now = Expanded({"user.a": str(number)}, {}), Expanded({"user.a": str(number + 1)}, {})
            events.changed("default", "c1", was, now)
        async with asyncio.timeout(5):
            heard = [event async for event in deaf]
    assert len(heard) < 5000
