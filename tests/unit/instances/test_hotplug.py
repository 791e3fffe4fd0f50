"""Following the host's devices where the kernel does not let us."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightervisor.instances import hotplug
from lightervisor.instances.hotplug import Hotplug
from lightervisor.kernel.uevents import Uevent


@pytest.mark.parametrize("lacks", ["PathWatch", "Listener"])
def test_what_cannot_be_followed_is_told_and_leaves_nothing_open(
    lacks: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    async def run() -> tuple[set[str], set[str]]:
        one: Any = None
        before = _open_files()
        await Hotplug(one, one, one, one, one, one).run()
        return before, _open_files()

    monkeypatch.setattr(hotplug, lacks, refuse)
    before, after = asyncio.run(run())
    assert after == before
    assert "not followed: [Errno 24] Too many open files" in caplog.text


def test_cpus_that_come_and_go_are_shared_out_again_once() -> None:
    """Messages that come while that is done make it be done once more."""
    done: list[int] = []

    class Containers:
        async def host_has_other_cpus(self) -> None:
            done.append(len(done))
            await asyncio.sleep(0)

    def event(action: str, subsystem: str) -> Uevent:
        return Uevent(action, {"SUBSYSTEM": subsystem})

    async def run() -> None:
        one: Any = None
        containers: Any = Containers()
        devices: Any = SimpleNamespace(followed=SimpleNamespace(kernels=[]))
        follower = Hotplug(one, one, devices, containers, one, one)
        follower._told([event("add", "usb"), event("change", "cpu")])
        assert asyncio.all_tasks() == {asyncio.current_task()}
        for _ in range(3):
            follower._told([event("offline", "cpu")])
        await asyncio.sleep(0)
        follower._told([event("online", "cpu")])
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.gather(*others)

    asyncio.run(run())
    assert len(done) == 2


def _open_files() -> set[str]:
    """What the descriptors of this process are; that of the look itself has gone when it is read."""
    return {f"{one.name} {one.readlink()}" for one in list(Path("/proc/self/fd").iterdir()) if one.is_symlink()}
