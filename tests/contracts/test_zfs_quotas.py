"""Sizes of volumes of zfs pools, kept by ZFS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Failure, NotFound, Unsupported
from lightervisor.kernel import zfs
from lightervisor.storage.driver import Snapshot
from lightervisor.storage.drivers.zfs import Zfs
from tests.contracts.storage_samples import C1, C2, MAP, OTHER, inside, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1, MIB = Snapshot(C1, "s1"), 1 << 20
WRITE = "dd if=/dev/urandom of={} bs=1M count=6 conv=fsync 2>/dev/null && echo done || echo refused"


@pytest.fixture(params=["quota", "refquota"])
def pool(request: pytest.FixtureRequest, folder: Path) -> Iterator[Zfs]:
    """A pool with a volume."""
    try:
        Zfs.probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    config = {"size": "256MiB", "volume.zfs.use_refquota": str(request.param == "refquota").lower()}
    driver = Zfs(folder / "lxd/storage-pools/lvz2", config)
    driver.create()
    driver.create_image("img1", unpack)
    driver.create_volume(C1, "img1")
    yield driver
    for volume in driver.volumes("containers"):
        driver.delete_volume(volume)
    driver.delete()


def test_a_size_is_kept(pool: Zfs) -> None:
    figures = pool.figures(C1)
    assert figures is not None
    assert (figures.limit, figures.used < MIB) == (0, True)
    pool.resize(C1, 10 * MIB)
    root = pool.mount(C1, MAP).path
    assert inside(root, WRITE.format("one")) == "done\n"
    assert inside(root, WRITE.format("two")) == "refused\n"
    zfs.flush_pool("lvz2")
    pool.resize(C1, 11 * MIB)
    figures = pool.figures(C1)
    assert figures is not None
    assert figures.limit == 11 * MIB
    assert 6 * MIB < figures.used <= 11 * MIB
    assert 6 * MIB < pool.size(C1) <= 11 * MIB
    with pytest.raises(Failure, match="Cannot be shrunk") as refusal:
        pool.resize(C1, 5 * MIB)
    assert "are in use" in refusal.value.message()
    pool.resize(C1, 0)
    assert inside(root, WRITE.format("two")) == "done\n"
    with pytest.raises(NotFound):
        pool.resize(C2, MIB)


def test_a_volume_keeps_its_size_whatever_takes_its_place(pool: Zfs) -> None:
    pool.resize(C1, 10 * MIB)
    pool.create_snapshot(S1)
    for change in (
        lambda: pool.restore_snapshot(S1, "mark"),
        lambda: pool.rebuild_volume(C1, "img1", "mark"),
        lambda: pool.replace_volume(S1, C1),
    ):
        change()
        figures = pool.figures(C1)
        assert figures is not None
        assert figures.limit == 10 * MIB
    pool.copy_volume(C1, C2)
    figures = pool.figures(C2)
    assert figures is not None
    assert figures.limit == 0
    assert (pool.snapshot_size(S1) or 0) < MIB, "the volume has all that is in it"


def test_snapshots_count_unless_only_what_is_seen_does(pool: Zfs) -> None:
    pool.resize(C1, 10 * MIB)
    root = pool.mount(C1, MAP).path
    assert inside(root, WRITE.format("one")) == "done\n"
    pool.create_snapshot(S1)
    inside(root, "rm one")
    zfs.flush_pool("lvz2")
    is_seen = pool.config["volume.zfs.use_refquota"] == "true"
    assert inside(root, WRITE.format("two")) == ("done\n" if is_seen else "refused\n")


def test_a_full_volume_can_still_be_mounted_and_described(pool: Zfs) -> None:
    pool.resize(C1, 8 * MIB)
    inside(pool.mount(C1, MAP).path, "dd if=/dev/urandom of=big bs=16k conv=fsync 2>/dev/null || true")
    zfs.flush_pool("lvz2")
    pool.unmount(C1)
    pool.mount(C1, OTHER)
    with pool.unheld(C1):
        (pool.volume_path(C1) / "backup.yaml").write_bytes(bytes(100_000))
    figures = pool.figures(C1)
    assert figures is not None
    assert figures.limit == 8 * MIB
    with pytest.raises(OSError, match="quota"):
        (pool.volume_path(C1) / "more").write_bytes(os.urandom(8 * MIB))
