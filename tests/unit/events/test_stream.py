"""Events reach who asked for them, and a listener that does not read holds nobody up."""

from __future__ import annotations

import msgspec

from lightervisor.events import stream
from lightervisor.events.stream import Events, Subscription


async def heard(events: Events, subscription: Subscription) -> list[dict[str, object]]:
    events.close()
    return [msgspec.json.decode(event) async for event in subscription]


async def test_only_the_types_that_were_asked_for() -> None:
    events = Events()
    with events.subscribe(frozenset({"lifecycle"}), None) as subscription:
        events.logging("info", "hello", {})
        events.lifecycle("instance-created", "/1.0/instances/c1", project="default", context={"type": "container"})
        told = await heard(events, subscription)
    assert [one["type"] for one in told] == ["lifecycle"]
    assert told[0]["metadata"] == {
        "action": "instance-created",
        "source": "/1.0/instances/c1",
        "context": {"type": "container"},
    }


async def test_only_the_project_that_was_asked_for_and_what_has_none() -> None:
    events = Events()
    with events.subscribe(frozenset({"lifecycle"}), "one") as subscription:
        for project in ("one", "two", ""):
            events.lifecycle("x", f"/{project}", project=project)
        told = await heard(events, subscription)
    assert [one.get("project") for one in told] == ["one", None]


async def test_a_listener_that_does_not_read_is_cut_off() -> None:
    events = Events()
    with events.subscribe(frozenset({"logging"}), None) as lazy, events.subscribe(frozenset({"logging"}), None) as keen:
        reader = aiter(keen)
        for number in range(stream.BACKLOG + 10):
            events.logging("info", str(number), {})
            assert msgspec.json.decode(await anext(reader))["metadata"]["message"] == str(number)
        assert len([event async for event in lazy]) <= stream.BACKLOG


async def test_after_the_context_nothing_is_kept() -> None:
    events = Events()
    with events.subscribe(frozenset({"logging"}), None) as subscription:
        pass
    events.logging("info", "late", {})
    subscription.end()
    assert [event async for event in subscription] == []


async def test_what_happened_names_the_object_and_what_is_below_it() -> None:
    events = Events()
    with events.subscribe(frozenset({"lifecycle"}), None) as subscription:
        events.happened("storage-pool", "created", "p1")
        events.happened("instance", "log-deleted", "c1/logs/exec_1", "default")
        told = await heard(events, subscription)
    assert [one["metadata"] for one in told] == [
        {"action": "storage-pool-created", "source": "/1.0/storage-pools/p1"},
        {"action": "instance-log-deleted", "source": "/1.0/instances/c1/logs/exec_1"},
    ]
