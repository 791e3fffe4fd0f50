"""Following the host's devices where the kernel does not let us."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lightervisor.instances import hotplug
from lightervisor.instances.hotplug import Hotplug


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


def _open_files() -> set[str]:
    """What the descriptors of this process are; that of the look itself has gone when it is read."""
    return {f"{one.name} {one.readlink()}" for one in list(Path("/proc/self/fd").iterdir()) if one.is_symlink()}
