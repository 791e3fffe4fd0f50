"""Copies of volumes and snapshots in one pool, for every storage driver: whole, and nobody's but their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lightervisor.errors import Failure, NotFound
from lightervisor.kernel.copies import Watch
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from tests.contracts.storage_samples import C1, C2, CAPABILITY, MAP, OTHER, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1, S2 = Snapshot(C1, "s1"), Snapshot(C1, "s2")
C3 = Volume("containers", "c3")


def write(pool: StorageDriver, volume: Volume, script: str) -> str:
    """Something is written, or read, by a container that is stopped afterwards."""
    said = inside(pool.mount(volume, MAP).path, script)
    pool.unmount(volume)
    return said


def test_a_copy_holds_what_its_source_held(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    write(
        pool, C1, "echo one > etc/hostname; rm -r etc/skel; mkfifo p; ln p q; chown 5:6 bin/tool; chmod 4751 bin/tool"
    )
    (pool.volume_path(C1) / "metadata.yaml").write_text("changed")
    pool.copy_volume(C1, C2)
    root = pool.mount(C2, None).path
    assert (root / "etc/hostname").read_text() == "one\n"
    assert sorted(one.name for one in (root / "etc").iterdir()) == ["hostname", "mtab"]
    assert (root / "p").samefile(root / "q")
    found = (root / "bin/tool").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (5, 6, 0o4751)
    assert os.getxattr(root / "bin/ping", "security.capability") == CAPABILITY
    assert root.stat().st_mode & 0o777 == 0o751
    assert (pool.volume_path(C2) / "metadata.yaml").read_text() == "changed"
    assert (pool.volume_path(C2) / "templates/hostname.tpl").exists()
    pool.unmount(C2)


def test_source_and_copy_do_not_know_each_other(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    write(pool, C1, "echo one > note")
    pool.copy_volume(C1, C2)
    write(pool, C1, "echo source > note; echo x > only-source")
    write(pool, C2, "test $(cat note) = one; test ! -e only-source; echo copy > note; rm bin/same")
    assert write(pool, C1, "cat note bin/same") == "source\n#!/bin/sh\n"
    pool.copy_volume(C2, C3)
    pool.delete_volume(C1)
    pool.delete_volume(C2)
    pool.layout.trash.wait()
    assert write(pool, C3, "cat note; test ! -e bin/same") == "copy\n"
    assert [one.name for one in pool.volumes("containers")] == ["c3"]


def test_copies_outlive_image_and_source(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    pool.copy_volume(C1, C2)
    pool.delete_volume(C1)
    pool.delete_image("img1")
    pool.layout.trash.wait()
    assert write(pool, C2, "cat etc/hostname") == "image\n"


def test_a_volume_made_of_a_snapshot(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    write(pool, C1, "echo one > note")
    pool.create_snapshot(S1)
    write(pool, C1, "echo two > note")
    pool.copy_volume(S1, C2)
    assert pool.snapshots(C2) == []
    write(pool, C2, "test $(cat note) = one; echo three > note")
    pool.delete_volume(C1)
    pool.layout.trash.wait()
    assert write(pool, C2, "cat note") == "three\n"


def test_snapshots_are_copied_and_can_be_restored(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    for snapshot, text in ((S1, "one"), (S2, "two")):
        write(pool, C1, f"echo {text} > note")
        pool.create_snapshot(snapshot)
    write(pool, C1, "echo three > note")
    for name in ("s1", "s2"):
        pool.copy_snapshot(Snapshot(C1, name), Snapshot(C2, name))
    pool.copy_volume(C1, C2)
    pool.delete_volume(C1)
    pool.layout.trash.wait()
    assert pool.snapshots(C2) == [Snapshot(C2, "s1"), Snapshot(C2, "s2")]
    assert write(pool, C2, "cat note") == "three\n"
    for name, text in (("s1", "one"), ("s2", "two")):
        pool.restore_snapshot(Snapshot(C2, name), "mark")
        assert write(pool, C2, "cat note") == f"{text}\n"
    pool.delete_volume(C2)
    assert pool.snapshots(C2) == []


@pytest.mark.parametrize("held", [True, False])
def test_a_copy_of_a_volume_in_use(pool: StorageDriver, held: bool) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP).path
    inside(root, "echo one > etc/hostname; rm -r etc/skel home; mkdir home")
    moments: list[str] = []

    @contextmanager
    def still() -> Iterator[None]:
        moments.append("held")
        yield
        moments.append("let go")

    pool.copy_volume(C1, C2, still if held else None)
    assert moments == (["held", "let go"] if held else [])
    inside(root, "echo two > etc/hostname; echo x > home/x")
    script = "cat etc/hostname; ls etc home; stat -c %u etc/hostname"
    assert write(pool, C2, script) == "one\netc:\nhostname\nmtab\n\nhome:\n0\n"
    assert inside(pool.mount(C1, OTHER).path, "cat home/x", OTHER) == "x\n"


def test_an_empty_volume_is_copied(pool: StorageDriver) -> None:
    pool.create_volume(C1, None)
    pool.copy_volume(C1, C2)
    write(pool, C1, "echo 1 > f")
    pool.copy_volume(C1, C3)
    assert write(pool, C2, "ls") == ""
    assert write(pool, C3, "cat f") == "1\n"


def test_copying_twice_and_what_is_not_there(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    pool.create_snapshot(S1)
    pool.copy_volume(C1, C2)
    write(pool, C2, "echo kept > note")
    pool.copy_volume(C1, C2)
    pool.copy_snapshot(S1, Snapshot(C2, "s1"))
    pool.copy_snapshot(S1, Snapshot(C2, "s1"))
    assert write(pool, C2, "cat note") == "kept\n"
    with pytest.raises(NotFound):
        pool.copy_volume(Volume("containers", "nobody"), C3)
    with pytest.raises(NotFound):
        pool.copy_volume(S2, C3)
    with pytest.raises(NotFound):
        pool.copy_snapshot(S2, Snapshot(C3, "s2"))
    assert not pool.has_volume(C3)
    assert pool.snapshots(C3) == []


def test_a_copy_that_is_cancelled_leaves_nothing(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP).path  # in use, so that every driver has files to copy
    inside(root, "echo one > note")
    watch = Watch()
    watch.cancel()
    with pytest.raises(Failure, match="cancelled"):
        pool.copy_volume(C1, C2, None, watch)
    pool.layout.trash.wait()
    assert not pool.has_volume(C2)
    assert list(pool.layout.trash.directory.iterdir()) == []
    pool.copy_volume(C1, C2)
    assert write(pool, C2, "cat note") == "one\n"
