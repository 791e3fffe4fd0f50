"""Fixtures of the contract suites."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.kernel import mounts, paths
from lightervisor.storage.driver import StorageDriver, storage_drivers
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.contracts.storage_samples import C1, DRIVERS, unpack


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that everyone can walk through, as $LXD_DIR is."""
    place = Path(tempfile.mkdtemp(prefix="lv-storage-"))
    place.chmod(0o711)
    yield place
    left = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(place) in line]
    for mounted in reversed(left):
        mounts.umount(Path(mounted), lazy=True)
    paths.remove_tree(place)  # beside a pool that empties its trash
    assert not left


@pytest.fixture(params=DRIVERS)
def kind(request: pytest.FixtureRequest, folder: Path) -> type[StorageDriver]:
    """Each driver that works here."""
    found = storage_drivers()[request.param]
    try:
        found.probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    return found


@pytest.fixture
def pool(kind: type[StorageDriver], folder: Path) -> Iterator[StorageDriver]:
    """A pool with one image, img1."""
    driver = kind(folder / "storage-pools/p1", {})
    driver.create()
    driver.create_image("img1", unpack)
    yield driver
    for volume in driver.volumes("containers"):
        driver.unmount(volume)
        driver.delete_volume(volume)
    driver.delete()
    assert not driver.layout.root.exists()


@pytest.fixture
def btrfs_pool(folder: Path) -> Iterator[Btrfs]:
    """A pool of btrfs, with a volume."""
    try:
        Btrfs.probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    driver = Btrfs(folder / "storage-pools/p1", {"size": "200MiB"})
    driver.create()
    driver.create_image("img1", unpack)
    driver.create_volume(C1, "img1")
    yield driver
    for volume in driver.volumes("containers"):
        driver.delete_volume(volume)
    driver.delete()
    assert not driver.layout.root.exists()
