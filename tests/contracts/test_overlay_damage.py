"""A volume whose description was lost, as an old file system may leave it after a power cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightervisor.errors import HostError
from lightervisor.storage.driver import Snapshot, Volume, storage_driver
from tests.contracts.storage_samples import unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
IMAGE = "f" * 64


@pytest.mark.parametrize("content", [b"", b"{", b"\0\0\0"])
def test_it_can_be_deleted_and_its_image_is_not_lost_for_others(folder: Path, content: bytes) -> None:
    pool = storage_driver("overlay")(folder / "pool", {})
    pool.create()
    pool.create_image(IMAGE, unpack)
    good, bad = Volume("containers", "good"), Volume("containers", "bad")
    for volume in (good, bad):
        pool.create_volume(volume, IMAGE)
    (pool.volume_path(bad) / "volume.json").write_bytes(content)
    with pytest.raises(HostError, match=r"volume\.json"):
        pool.mount(bad, None)
    pool.delete_image(IMAGE)
    pool.delete_volume(bad)
    assert pool.volumes("containers") == [good]
    assert (pool.mount(good, None).path / "etc").is_dir()
    pool.delete_volume(good)
    pool.delete()


def test_what_a_volume_is_made_of_is_on_disk_before_it_has_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, sync = set[int](), os.fsync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        assert os.fstat(descriptor).st_size > 0
        synced.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    pool = storage_driver("overlay")(folder / "pool", {})
    pool.create()
    pool.create_image(IMAGE, unpack)
    volume = Volume("containers", "c1")
    snapshot = Snapshot(volume, "s1")
    described = pool.volume_path(volume) / "volume.json"
    pool.create_volume(volume, IMAGE)
    inodes = [described.stat().st_ino]
    (pool.mount(volume, None).path / "note").write_text("one")
    pool.unmount(volume)
    pool.create_snapshot(snapshot)
    inodes += [described.stat().st_ino, (pool.snapshot_path(snapshot) / "volume.json").stat().st_ino]
    pool.restore_snapshot(snapshot, "mark")
    inodes.append(described.stat().st_ino)
    assert synced >= set(inodes)
    pool.delete_volume(volume)
    pool.delete()


def test_no_layer_is_thrown_away_while_a_description_is_damaged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = storage_driver("overlay")(folder / "pool", {})
    pool.create()
    bad = Volume("containers", "bad")
    pool.create_volume(bad, None)
    (pool.volume_path(bad) / "volume.json").write_bytes(b"")
    kept = sorted(pool.layout.entries("layers"))
    pool.create()
    assert sorted(pool.layout.entries("layers")) == kept != []
    assert "bad/volume.json cannot be read" in caplog.text
    pool.delete_volume(bad)
    pool.delete()
