"""Readers of snapshots and takers of scheduled ones that are cancelled at the worst moment."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lightervisor.db.instances import InstanceRow
from lightervisor.instances.snapshot_schedule import SnapshotSchedule
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.storage.driver import MountedRoot, Snapshot

PLACE = SnapshotPlace("default", "c1", "snap0")


class Driver:
    """Mounts slowly."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.mounted = 0

    def mount_snapshot(self, _snapshot: Snapshot) -> MountedRoot:
        self.begun.set()
        assert self.may_end.wait(10)
        self.mounted += 1
        return MountedRoot(path=Path("/nowhere"), idmapped=False)

    def unmount_snapshot(self, _snapshot: Snapshot) -> None:
        self.mounted = 0


def test_a_reader_that_is_cancelled_while_its_snapshot_is_mounted_leaves_no_mount() -> None:
    async def run() -> None:
        driver = Driver()
        pools: Any = SimpleNamespace(driver=lambda _pool: driver)
        volumes = InstanceVolumes(pools, cast("Any", None))
        reader = asyncio.create_task(volumes.mount_snapshot("default", PLACE))
        assert await asyncio.to_thread(driver.begun.wait, 10)
        reader.cancel()
        driver.may_end.set()
        await asyncio.wait([reader])
        assert reader.cancelled()
        assert driver.mounted == 0
        volumes.check_unread("default", "c1")

    asyncio.run(run())


def test_a_start_that_is_cancelled_waits_for_the_snapshot_before_it() -> None:
    async def run() -> None:
        asked, done = asyncio.Event(), asyncio.Event()

        async def create(*_: object, **__: object) -> Any:
            return SimpleNamespace(id="1")

        async def wait(*_: object) -> Any:
            asked.set()
            await done.wait()
            return SimpleNamespace(status_code=200)

        catalog = SimpleNamespace(expand=lambda _row: SimpleNamespace(config={"snapshots.schedule": "@startup"}))
        taking, operations = SimpleNamespace(create=create), SimpleNamespace(wait=wait)
        parts: list[Any] = [None, catalog, taking, None, operations]
        row = cast("InstanceRow", SimpleNamespace(name="c1", project="default"))
        start = asyncio.create_task(SnapshotSchedule(*parts).at_start(row))
        await asked.wait()
        start.cancel()
        assert not (await asyncio.wait([start], timeout=0.05))[0], "it holds the instance's lock"
        done.set()
        await asyncio.wait([start])
        assert start.cancelled()

    asyncio.run(run())
