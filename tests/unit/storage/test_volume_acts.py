"""Who shows a volume, and who is about to, while it is closed or read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lightervisor.config.names import VolumePlace
from lightervisor.errors import Conflict, Invalid
from lightervisor.operations.locks import Held, Locks, instance_lock, volume_lock
from lightervisor.storage.volume_acts import Guests, Kept, VolumeActs

PLACE = VolumePlace("p1", "default", "v1")


class World:
    """A volume, instances that show it by their records, and those of them that run."""

    def __init__(self) -> None:
        self.shown_by: list[str] = []
        self.running: set[str] = set()
        self.locks = Locks()
        users = SimpleNamespace(instances_with=lambda *_: list(self.shown_by))
        nothing = cast("Any", None)
        guests = Guests(
            lambda _, name: "Running" if name in self.running else "Stopped", lambda *_: None, nothing, nothing
        )
        operations = cast("Any", SimpleNamespace(locks=self.locks))
        self.acts = VolumeActs(Kept(nothing, nothing), nothing, cast("Any", users), guests, operations, nothing)


@pytest.fixture
def world() -> World:
    return World()


async def closing(world: World) -> None:
    async with world.locks.hold([volume_lock(*PLACE)]), world.acts.unused(PLACE):
        return


async def soon(task: asyncio.Task[None]) -> bool:
    """Whether it ends without anybody's doing."""
    done, _ = await asyncio.wait([task], timeout=0.05)
    return bool(done)


async def test_who_opened_it_before_it_was_closed_is_waited_for(world: World) -> None:
    """Its device is stored, or taken away again, while it has its own lock."""
    async with world.locks.hold([instance_lock("default", "c1")]):
        world.acts.check_open(PLACE, "c1")
        task = asyncio.create_task(closing(world))
        assert not await soon(task)
        world.shown_by, world.running = ["c1"], {"c1"}
    with pytest.raises(Invalid, match="still in use"):
        await task


async def test_a_disk_that_is_being_taken_away_is_waited_for(world: World) -> None:
    """It is shown a little longer than it is stored."""
    world.shown_by, world.running = ["c1"], {"c1"}
    world.acts.check_open(PLACE, "c1")
    for _ in range(2):
        async with world.locks.hold([volume_lock(*PLACE)]), world.acts.left_alone(PLACE):
            pass
    async with world.locks.hold([instance_lock("default", "c1")]):
        world.shown_by = []
        task = asyncio.create_task(closing(world))
        assert not await soon(task)
    await task
    async with world.locks.hold([instance_lock("default", "c1")]):  # and is no more, once it is gone
        await asyncio.create_task(closing(world))


async def test_nobody_opens_what_is_closed(world: World) -> None:
    with world.acts.closed(PLACE):
        with pytest.raises(Conflict, match="moved, replaced or removed"):
            world.acts.check_open(PLACE, "c1")
        with pytest.raises(Conflict, match="moved, replaced or removed"):
            world.locks.check_idle([volume_lock(*PLACE)])
    world.acts.check_open(PLACE, "c1")
    world.locks.check_idle([volume_lock(*PLACE)])


async def test_who_reads_lets_go_of_the_lock_and_keeps_it_from_changing(world: World) -> None:
    async def read(ready: asyncio.Event, end: asyncio.Event) -> None:
        async with world.locks.hold([volume_lock(*PLACE)]) as held:
            run = cast("Any", SimpleNamespace(held=held))
            async with world.acts.reading(run, PLACE) as still:
                assert still is None and isinstance(held, Held)
                ready.set()
                await end.wait()

    ready, end = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]
    tasks = [asyncio.create_task(read(*events)) for events in zip(ready, end, strict=True)]
    for event in ready:
        await event.wait()
    for which in (0, 1):
        with pytest.raises(Conflict, match="being copied"):
            await closing(world)
        with pytest.raises(Conflict, match="being copied"):
            world.acts.check_open(PLACE, "c1")
        end[which].set()
        await tasks[which]
    await closing(world)
    world.acts.check_open(PLACE, "c1")
