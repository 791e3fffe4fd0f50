"""Paths that a guest makes longer, step by step, than the kernel takes at once: what cannot be done then is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightervisor.errors import HostError
from lightervisor.kernel.copies import Watch
from lightervisor.storage import streams
from lightervisor.storage.driver import Snapshot
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.contracts.storage_samples import C1, C2, MAP, inside
from tests.contracts.test_btrfs_streams import pool

__all__ = ["pool"]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
HALF = "/".join([f"{number:0200}" for number in range(12)])
CAUSE = "a path of more than 4,095 bytes"


def deepen(pool: Btrfs, make: str) -> None:
    """Have something be made, and moved to where it has twice as long a path."""
    script = f"mkdir -p one/{HALF} two/{HALF}; {make} one/{HALF}/deep; mv one two/{HALF}/"
    inside(pool.mount(C1, MAP).path, script)
    pool.unmount(C1)


def left(pool: Btrfs) -> list[Path]:
    pool.layout.trash.wait()
    return list(pool.layout.trash.directory.iterdir())


def test_a_file_goes_into_no_stream(pool: Btrfs, tmp_path: Path) -> None:
    deepen(pool, "touch")
    directory = pool.volume_path(C1)
    own = streams.described(directory, "")[0]
    with (
        streams.unchanging(pool.layout, directory) as copy,
        (tmp_path / "stream").open("wb") as file,
        pytest.raises(HostError, match=CAUSE),
    ):
        streams.send(copy, own, None, file.fileno(), Watch())
    pool.create_snapshot(Snapshot(C1, "s1"))
    pool.copy_volume(C1, C2)
    pool.delete_volume(C2)
    assert left(pool) == []


def test_a_subvolume_is_not_copied(pool: Btrfs) -> None:
    deepen(pool, "btrfs -q subvolume create")
    for act in (
        lambda: streams.described(pool.volume_path(C1), ""),
        lambda: pool.create_snapshot(Snapshot(C1, "s1")),
        lambda: pool.copy_volume(C1, C2),
    ):
        with pytest.raises(HostError, match=CAUSE):
            act()
    assert not pool.has_volume(C2) and not pool.has_snapshot(Snapshot(C1, "s1"))
    assert left(pool) == []
