"""Readings that end early: an instance goes on if it was they who held it still, and stays paused if it was a user."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lightervisor.config.volatile_keys import HANDED_OVER, POSSIBLY
from lightervisor.errors import HostError
from lightervisor.instances import moment_roots
from lightervisor.instances.moment_roots import MomentRoots
from lightervisor.operations.locks import Locks


class World:
    """An instance that runs, and what is done to it."""

    def __init__(self) -> None:
        self.status, self.snapshots, self.has_crashed = "Running", set[str](), False
        self.config: dict[str, str] = {}

    def daemon(self) -> MomentRoots:
        """The daemon, started anew."""

        async def nothing(*_: object) -> Any:
            return SimpleNamespace(path=Path("/nowhere"))

        async def unfreeze(_container: str) -> None:
            self.status = "Running"

        async def create(_pool: str, place: Any, still: Any) -> None:
            with still():
                if self.has_crashed:
                    raise HostError("copy", cause="it was killed")
            self.snapshots.add(place.name)

        async def delete(_pool: str, place: Any) -> None:
            self.snapshots.discard(place.name)

        async def none(*_: object) -> list[Any]:
            return []

        catalog = SimpleNamespace(
            row=lambda *_: SimpleNamespace(config=self.config),
            expand=lambda _: SimpleNamespace(devices={}),
            status=lambda *_: self.status,
        )
        containers = SimpleNamespace(init_pid=lambda _: 1, unfreeze=unfreeze)
        boot = SimpleNamespace(containers=containers, container_name=lambda _project, name: name)
        volumes = SimpleNamespace(
            pool_of=lambda _: "pool",
            create_snapshot=create,
            delete_snapshot=delete,
            mount_snapshot=nothing,
            unmount_snapshot=nothing,
            snapshot_directories=none,
            snapshot_directory=lambda *_: Path("/nowhere"),
            has_snapshot=lambda _pool, place: place.name in self.snapshots,
        )
        still = SimpleNamespace(undo=nothing)
        return MomentRoots(*(cast("Any", one) for one in (catalog, boot, volumes, still, Locks())))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    @contextmanager
    def held_still(_pid: int, _container: str) -> Iterator[None]:
        world.status = "Frozen"
        yield
        world.status = "Running"  # not when it fails inside: as if the daemon had died

    monkeypatch.setattr(moment_roots, "held_still", held_still)
    return world


async def test_what_a_user_paused_stays_paused_when_the_reading_is_cancelled(world: World) -> None:
    roots = world.daemon()
    arguments = roots.arguments("default", "c1")
    with pytest.raises(asyncio.CancelledError):
        async with roots.opened(arguments):
            world.status = "Frozen"
            raise asyncio.CancelledError
    await roots.undo(arguments)
    assert world.status == "Frozen"
    assert world.snapshots == set()


async def test_what_a_user_paused_stays_paused_when_the_daemon_dies(world: World) -> None:
    arguments = world.daemon().arguments("default", "c1")
    world.snapshots.add(arguments["moment"])
    world.status = "Frozen"
    await world.daemon().undo(arguments)
    assert world.status == "Frozen"
    assert world.snapshots == set()


@pytest.mark.parametrize("is_restarted", [True, False])
async def test_what_was_held_for_the_moment_goes_on(world: World, is_restarted: bool) -> None:
    roots = world.daemon()
    arguments = roots.arguments("default", "c1")
    world.has_crashed = True
    with pytest.raises(HostError):
        async with roots.opened(arguments):
            pass
    assert world.status == "Frozen"
    await (world.daemon() if is_restarted else roots).undo(arguments)
    assert world.status == "Running"


async def test_what_may_run_elsewhere_is_not_let_go_when_the_daemon_dies(world: World) -> None:
    arguments = world.daemon().arguments("default", "c1")
    world.config[HANDED_OVER] = POSSIBLY
    world.status = "Frozen"  # its memory was handed over after this reading
    await world.daemon().undo(arguments)
    assert world.status == "Frozen"
