"""Snapshots, for every storage driver: what they keep, and that nothing changes them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lightervisor.errors import Conflict, NotFound
from lightervisor.kernel import mounts, syscalls
from lightervisor.storage.driver import Snapshot, StorageDriver
from tests.contracts.storage_samples import C1, C2, MAP, OTHER, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1, S2 = Snapshot(C1, "s1"), Snapshot(C1, "s2")


def write(pool: StorageDriver, script: str) -> None:
    """Something is written by a container that is stopped afterwards."""
    inside(pool.mount(C1, MAP).path, script)
    pool.unmount(C1)


def said(pool: StorageDriver, snapshot: Snapshot, script: str) -> str:
    root = pool.mount_snapshot(snapshot)
    assert not root.idmapped
    with pytest.raises(OSError, match="Read-only"):
        (root.path / "intruder").touch()
    done = subprocess.run(["sh", "-ec", script], cwd=root.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pool.unmount_snapshot(snapshot)
    return done.stdout


def test_a_snapshot_keeps_what_was_there(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    write(pool, "echo one > etc/hostname; mv etc/skel etc/moved; rm bin/same; chown 5:6 bin/ping; mkfifo p; ln p q")
    pool.create_snapshot(S1)
    write(pool, "echo two > etc/hostname; rm -r etc/moved p q; mkdir etc/skel")
    script = "cat etc/hostname; ls etc; ls bin; test p -ef q && echo linked"
    assert said(pool, S1, script) == "one\nhostname\nmoved\nmtab\nping\ntool\nlinked\n"
    assert (pool.mount_snapshot(S1).path / "bin/ping").stat().st_uid == 5
    assert (pool.snapshot_path(S1) / "metadata.yaml").read_text() == "architecture: x86_64\n"
    assert inside(pool.mount(C1, OTHER).path, "cat etc/hostname; ls", OTHER).startswith("two\n")
    assert pool.snapshots(C1) == [S1]


def test_every_snapshot_has_its_own_moment(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    snapshots = [Snapshot(C1, f"s{number}") for number in range(5)]
    for number, snapshot in enumerate(snapshots):
        write(pool, f"echo {number} > n; mkdir -p d; echo {number} > d/f{number}; rm -rf d; mkdir d; touch d/{number}")
        pool.create_snapshot(snapshot)
    for number, snapshot in enumerate(snapshots):
        assert said(pool, snapshot, "cat n; ls d") == f"{number}\n{number}\n"
    pool.delete_snapshot(snapshots[2])
    assert said(pool, snapshots[3], "cat n") == "3\n"
    assert inside(pool.mount(C1, MAP).path, "cat n") == "4\n"


def test_a_snapshot_of_a_volume_in_use(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP).path
    inside(root, "echo one > etc/hostname; rm -r etc/skel home; mkdir home")
    held: list[str] = []

    @contextmanager
    def still() -> Iterator[None]:
        held.append("held")
        yield
        held.append("let go")

    pool.create_snapshot(S1, still)
    assert held == ["held", "let go"]
    inside(root, "echo two > etc/hostname; echo x > home/x")
    assert mounts.is_mountpoint(root)
    script = "cat etc/hostname; ls etc home; stat -c %u etc/hostname"
    assert said(pool, S1, script) == "one\netc:\nhostname\nmtab\n\nhome:\n0\n"


def test_restoring_brings_back_what_was_and_can_be_repeated(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    write(pool, "echo one > etc/hostname; echo x > only-one")
    pool.create_snapshot(S1)
    (pool.volume_path(C1) / "metadata.yaml").write_text("changed")
    write(pool, "echo two > etc/hostname; rm only-one; echo x > only-two")
    pool.create_snapshot(S2)
    for mark in ("one", "two"):
        pool.restore_snapshot(S1, mark)
        assert pool.restored(C1) == mark
        assert (pool.volume_path(C1) / "metadata.yaml").read_text() == "architecture: x86_64\n"
        write(pool, "cat etc/hostname only-one; test ! -e only-two; echo three > etc/hostname; rm only-one")
    pool.restore_snapshot(S2, "mark")
    write(pool, "test $(cat etc/hostname) = two; test -e only-two; test ! -e only-one")
    assert said(pool, S1, "cat etc/hostname only-one") == "one\nx\n"


def test_snapshots_of_a_volume_without_an_image(pool: StorageDriver) -> None:
    pool.create_volume(C1, None)
    write(pool, "echo 1 > f")
    pool.create_snapshot(S1)
    write(pool, "echo 2 > f; echo 2 > g")
    pool.create_snapshot(S2)
    assert said(pool, S1, "ls; cat f") == "f\n1\n"
    assert said(pool, S2, "ls; cat f") == "f\ng\n2\n"
    pool.restore_snapshot(S1, "mark")
    write(pool, "test $(cat f) = 1; test ! -e g")


def test_snapshots_follow_their_volume_and_go_with_it(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    write(pool, "echo one > f")
    pool.create_snapshot(S1)
    for _ in range(2):
        pool.rename_volume(C1, C2)
    assert pool.snapshots(C1) == []
    assert said(pool, Snapshot(C2, "s1"), "cat f") == "one\n"
    for _ in range(2):
        pool.delete_volume(C2)
    assert pool.snapshots(C2) == []
    pool.layout.trash.wait()
    left = [str(place) for place in pool.layout.root.rglob("*") if place.parent != pool.layout.root]
    assert [place for place in left if "/images/" not in place] == []


def test_everything_may_be_done_twice(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    for _ in range(2):
        pool.create_snapshot(S1)
    for _ in range(2):
        pool.rename_snapshot(S1, "s2")
    for _ in range(2):
        pool.mount_snapshot(S2)
    for _ in range(2):
        pool.unmount_snapshot(S2)
    for _ in range(2):
        pool.delete_snapshot(S2)
    assert pool.snapshots(C1) == []
    assert inside(pool.mount(C1, MAP).path, "cat etc/hostname") == "image\n"


def test_missing_and_taken_names_are_refused(pool: StorageDriver) -> None:
    with pytest.raises(NotFound):
        pool.create_snapshot(S1)
    pool.create_volume(C1, "img1")
    with pytest.raises(NotFound):
        pool.mount_snapshot(S1)
    with pytest.raises(NotFound):
        pool.restore_snapshot(S1, "mark")
    assert pool.restored(C1) == ""
    with pytest.raises(NotFound):
        pool.rename_snapshot(S1, "s2")
    pool.create_snapshot(S1)
    pool.create_snapshot(S2)
    with pytest.raises(Conflict):
        pool.rename_snapshot(S1, "s2")
    assert pool.snapshots(C1) == [S1, S2]


def test_a_snapshot_outlives_its_image(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    pool.create_snapshot(S1)
    write(pool, "echo new > etc/hostname")
    pool.delete_image("img1")
    assert said(pool, S1, "cat etc/hostname") == "image\n"
    pool.restore_snapshot(S1, "mark")
    assert inside(pool.mount(C1, MAP).path, "cat etc/hostname") == "image\n"
    pool.delete_volume(C1)
    pool.layout.trash.wait()
    assert list((pool.layout.root / "images").iterdir()) == []


def test_a_snapshot_that_a_killed_daemon_read_is_let_go(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    pool.create_snapshot(S1)
    root = pool.mount_snapshot(S1).path
    assert [one for one in (root, root.parent) if mounts.is_mountpoint(one)]
    type(pool)(pool.layout.root, {}).create()
    assert not [one for one in (root, root.parent) if mounts.is_mountpoint(one)]


def test_what_a_killed_daemon_looked_through_does_not_take_the_volumes_mount_along(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    mounts.bind(pool.layout.root, pool.layout.root)
    subprocess.run(["mount", "--make-shared", pool.layout.root], check=True)
    try:
        left = pool.layout.trash.new()
        mounts.bind(pool.volume_path(C1), left)
        root = pool.mount(C1, MAP).path
        assert mounts.is_mountpoint(left / "rootfs"), "they are peers"
        pool.layout.trash.empty()
        pool.layout.trash.wait()
        assert not left.exists()
        assert mounts.is_mountpoint(root)
        pool.unmount(C1)
    finally:
        syscalls.umount2(pool.layout.root, syscalls.MNT_DETACH)  # that one alone: the pool itself may be a mount
