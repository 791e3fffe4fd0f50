"""Giving a volume another image, for every storage driver."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightervisor.errors import NotFound
from lightervisor.storage.driver import Snapshot, StorageDriver
from tests.contracts.storage_samples import C1, MAP, OTHER, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1 = Snapshot(C1, "s1")


def unpack_another(target: Path) -> None:
    (target / "rootfs/etc").mkdir(parents=True)
    (target / "rootfs/etc/other").write_text("other\n")
    (target / "metadata.yaml").write_text("architecture: other\n")


@pytest.fixture
def volume(pool: StorageDriver) -> StorageDriver:
    """A pool with another image, a volume that was written to, and a snapshot of it."""
    pool.create_image("img2", unpack_another)
    pool.create_volume(C1, "img1")
    inside(pool.mount(C1, MAP).path, "echo one > etc/hostname")
    pool.unmount(C1)
    pool.create_snapshot(S1)
    inside(pool.mount(C1, MAP).path, "echo two > etc/hostname")
    return pool


def test_it_has_the_files_of_the_other_image_alone(volume: StorageDriver) -> None:
    volume.rebuild_volume(C1, "img2", "mark")
    assert volume.restored(C1) == "mark"
    assert inside(volume.mount(C1, OTHER).path, "ls etc; cat etc/other; echo x > etc/new", OTHER) == "other\nother\n"
    assert (volume.volume_path(C1) / "metadata.yaml").read_text() == "architecture: other\n"


def test_its_snapshots_stay_and_can_be_restored(volume: StorageDriver) -> None:
    volume.rebuild_volume(C1, "img2", "mark")
    volume.delete_image("img1")
    assert (volume.mount_snapshot(S1).path / "etc/hostname").read_text() == "one\n"
    volume.unmount_snapshot(S1)
    volume.restore_snapshot(S1, "again")
    assert inside(volume.mount(C1, MAP).path, "cat etc/hostname") == "one\n"


def test_an_empty_one_has_nothing(volume: StorageDriver) -> None:
    volume.rebuild_volume(C1, None, "mark")
    assert inside(volume.mount(C1, MAP).path, "ls; mkdir etc") == ""
    assert not (volume.volume_path(C1) / "metadata.yaml").exists()


def test_a_deleted_image_goes_with_the_volume_that_was_the_last_of_it(pool: StorageDriver) -> None:
    pool.create_image("img2", unpack_another)
    pool.create_volume(C1, "img1")
    pool.delete_image("img1")
    pool.rebuild_volume(C1, "img2", "mark")
    pool.layout.trash.wait()
    assert not pool.layout.image_path("img1").exists()


@pytest.mark.parametrize(("image", "is_there"), [("img3", True), ("img2", False)])
def test_without_the_image_or_the_volume_nothing_happens(pool: StorageDriver, image: str, is_there: bool) -> None:
    pool.create_image("img2", unpack_another)
    if is_there:
        pool.create_volume(C1, "img1")
    with pytest.raises(NotFound):
        pool.rebuild_volume(C1, image, "mark")
    assert pool.restored(C1) == ""
    assert pool.has_volume(C1) is is_there
