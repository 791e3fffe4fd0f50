"""The move to nowhere that makes the kernel ready for others."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from lightervisor.kernel import cgroup, cgroup_moves


def expect_and_wait() -> None:
    async def work() -> None:
        cgroup_moves.expect()
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(work())


def test_the_process_stays_where_it_is() -> None:
    before = cgroup.directories(os.getpid())
    expect_and_wait()
    assert cgroup.directories(os.getpid()) == before


@pytest.mark.parametrize("controller", ["", "freezer"])
def test_it_is_a_move_in_whatever_hierarchy_there_is(
    controller: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "directories", lambda _pid: {controller: tmp_path})
    expect_and_wait()
    assert (tmp_path / "cgroup.procs").read_text() == "0"


@pytest.mark.parametrize("groups", [{}, {"": Path("/nowhere/at/all")}])
def test_a_host_without_is_no_failure(groups: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "directories", lambda _pid: groups)
    expect_and_wait()
    expect_and_wait()
