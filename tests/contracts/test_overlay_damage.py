"""A volume whose description was lost, as an old file system may leave it after a power cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightervisor.errors import HostError
from lightervisor.storage.driver import Volume, storage_driver
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
