"""Subvolumes that guests make in theirs, and snapshots that nobody can write to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightervisor.kernel import btrfs
from lightervisor.storage import subvolumes
from lightervisor.storage.driver import Snapshot
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.contracts.storage_samples import C1, C2, MAP, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1 = Snapshot(C1, "s1")


@pytest.fixture
def pool(btrfs_pool: Btrfs) -> Btrfs:
    """A pool with a volume whose guest has made subvolumes: in a directory, in each other, and a closed one."""
    inside(
        btrfs_pool.mount(C1, MAP).path,
        """mkdir -p a/b; btrfs -q subvolume create a/b/one; btrfs -q subvolume create a/b/one/two
        echo 1 > a/b/one/note; echo 2 > a/b/one/two/note
        btrfs -q subvolume create 'od d'; echo 3 > 'od d/note'; btrfs property set 'od d' ro true""",
    )
    return btrfs_pool


def subvolumes_of(pool: Btrfs) -> int:
    with btrfs.opened(pool.layout.root) as opened:
        return len(btrfs.nested(opened))


def notes(root: Path) -> list[str]:
    return [(root / name / "note").read_text() for name in ("a/b/one", "a/b/one/two", "od d")]


def test_they_come_along_and_are_nobody_elses(pool: Btrfs) -> None:
    root = pool.mount(C1, MAP).path
    pool.create_snapshot(S1)
    pool.copy_volume(C1, C2)
    inside(root, "echo changed | tee a/b/one/note a/b/one/two/note; btrfs property set 'od d' ro false; rm 'od d/note'")
    assert notes(pool.mount_snapshot(S1).path) == ["1\n", "2\n", "3\n"]
    assert notes(pool.mount(C2, None).path) == ["1\n", "2\n", "3\n"]
    copied = pool.mount(C2, MAP).path
    inside(copied, "echo mine > a/b/one/two/note; test ! -w 'od d/note'; btrfs property set 'od d' ro false")
    pool.unmount(C1)
    pool.restore_snapshot(S1, "mark")
    assert notes(pool.mount(C1, None).path) == ["1\n", "2\n", "3\n"]
    pool.delete_snapshot(S1)
    pool.delete_volume(C1)
    pool.delete_volume(C2)
    pool.layout.trash.wait()
    assert list(pool.layout.trash.directory.iterdir()) == []
    assert subvolumes_of(pool) == 1, "that of the image"


def test_one_that_vanishes_meanwhile_is_left_out(pool: Btrfs, monkeypatch: pytest.MonkeyPatch) -> None:
    found = btrfs.nested

    def nested(descriptor: int, subvolume: int | None = None) -> list[btrfs.Nested]:
        known = found(descriptor, subvolume)
        return [*known, btrfs.Nested(number=99_999, path=b"gone"), btrfs.Nested(number=known[0].number, path=b"x/y")]

    monkeypatch.setattr(subvolumes.btrfs, "nested", nested)
    pool.copy_volume(C1, C2)
    assert notes(pool.mount(C2, None).path) == ["1\n", "2\n", "3\n"]
    monkeypatch.undo()


def test_snapshots_are_closed_also_after_a_kill(pool: Btrfs) -> None:
    pool.create_snapshot(S1)
    path = pool.snapshot_path(S1)
    subvolumes.set_read_only(path, False)
    again = Btrfs(pool.layout.root, {})
    again.create()
    with pytest.raises(OSError, match="Read-only"):
        (path / "intruder").touch()
    again.rename_snapshot(S1, "s2")
    again.unmount(C1)
    again.rename_volume(C1, C2)
    assert notes(again.mount_snapshot(Snapshot(C2, "s2")).path) == ["1\n", "2\n", "3\n"]


def test_a_filled_snapshot_is_replaced(pool: Btrfs) -> None:
    pool.create_snapshot(S1)
    with pool.filling(S1, S1) as filling:
        (filling.directory / "rootfs/note").write_text("new")
        assert notes(filling.directory / "rootfs") == ["1\n", "2\n", "3\n"]
    assert (pool.mount_snapshot(S1).path / "note").read_text() == "new"
    with pytest.raises(OSError, match="Read-only"):
        (pool.snapshot_path(S1) / "intruder").touch()


def test_none_is_made_so_that_it_cannot_be_removed(pool: Btrfs) -> None:
    root = pool.mount(C1, MAP).path
    long = "/".join([f"{n:0200}" for n in range(12)])
    inside(root, f"mkdir -p one/{long} two/{long}; btrfs -q subvolume create one/{long}/deep; mv one two/{long}/")
    inside(root, "btrfs -q subvolume create out; btrfs -q subvolume create out/in; btrfs property set out ro true")
    pool.delete_volume(C1)
    pool.layout.trash.wait()
    assert list(pool.layout.trash.directory.iterdir()) == []
    assert subvolumes_of(pool) == 1, "that of the image"
