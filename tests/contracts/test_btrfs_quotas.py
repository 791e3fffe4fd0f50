"""Sizes of volumes of btrfs pools, kept by the kernel."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from lightervisor.errors import Failure, NotFound
from lightervisor.kernel import btrfs, btrfs_quotas
from lightervisor.kernel.project_quotas import Figures
from lightervisor.storage.driver import Snapshot
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.contracts.storage_samples import C1, C2, MAP, OTHER, inside
from tests.harness.processes import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1, MIB = Snapshot(C1, "s1"), 1 << 20
WRITE = "dd if=/dev/urandom of={} bs=1M count=6 2>/dev/null && echo done || echo refused; sync -f ."


@pytest.fixture
def pool(btrfs_pool: Btrfs) -> Btrfs:
    """A pool that keeps no quotas yet, with a volume."""
    return btrfs_pool


def test_a_size_is_kept_from_the_first_on(pool: Btrfs) -> None:
    assert pool.figures(C1) is None
    assert pool.snapshot_size(S1) is None
    pool.resize(C1, 0)
    assert pool.figures(C1) is None, "no size asks for no quotas"
    pool.resize(C1, 10 * MIB)
    root = pool.mount(C1, MAP).path
    assert inside(root, WRITE.format("one")) == "done\n"
    assert inside(root, WRITE.format("two")) == "refused\n"
    figures = pool.figures(C1)
    assert figures is not None
    assert figures.limit == 10 * MIB
    assert 6 * MIB < figures.used <= 10 * MIB
    assert 6 * MIB < pool.size(C1) <= 10 * MIB
    with pytest.raises(Failure, match="Cannot be shrunk") as refusal:
        pool.resize(C1, 5 * MIB)
    assert "are in use" in refusal.value.message()
    pool.resize(C1, 0)
    assert inside(root, WRITE.format("two")) == "done\n"
    with pytest.raises(NotFound):
        pool.resize(C2, MIB)


def test_a_volume_keeps_its_size_whatever_takes_its_place(pool: Btrfs) -> None:
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
    assert pool.figures(C2) != Figures(used=0, limit=10 * MIB)
    pool.resize(C2, 20 * MIB)
    root = pool.mount(C2, MAP).path
    assert inside(root, WRITE.format("one") + "; " + WRITE.format("two")) == "done\ndone\n"
    pool.create_snapshot(Snapshot(C2, "s1"))
    assert (pool.snapshot_size(Snapshot(C2, "s1")) or 0) < MIB, "the volume has all that is in it"


def test_a_full_volume_can_still_be_mounted_and_described(pool: Btrfs) -> None:
    pool.resize(C1, 8 * MIB)
    inside(pool.mount(C1, MAP).path, "dd if=/dev/urandom of=big bs=16k 2>/dev/null || true; sync -f .")
    pool.unmount(C1)
    pool.mount(C1, OTHER)
    with pool.unheld(C1):
        (pool.volume_path(C1) / "backup.yaml").write_bytes(bytes(100_000))
    figures = pool.figures(C1)
    assert figures is not None
    assert figures.limit == 8 * MIB
    with pytest.raises(OSError, match="quota"):
        (pool.volume_path(C1) / "more").write_bytes(os.urandom(8 * MIB))


def test_a_size_stays_what_it_is_whoever_writes_beside_the_volume(pool: Btrfs) -> None:
    pool.resize(C1, 8 * MIB)

    def write() -> None:
        for _ in range(20):
            with pool.unheld(C1):
                os.sched_yield()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit_of(pool) == 8 * MIB
    held = pool.unheld(C1)
    held.__enter__()  # and the daemon dies
    assert limit_of(pool) == 8 * MIB
    again = Btrfs(pool.layout.root, pool.config)
    again.create()
    root = again.mount(C1, MAP).path
    assert (
        inside(root, "dd if=/dev/urandom of=big bs=1M count=9 2>/dev/null && echo done || echo refused") == "refused\n"
    )


def limit_of(pool: Btrfs) -> int:
    figures = pool.figures(C1)
    assert figures is not None
    return figures.limit


def counted(pool: Btrfs) -> set[int]:
    """The subvolumes that the file system counts."""
    subprocess.run(["btrfs", "subvolume", "sync", pool.layout.root], check=True, capture_output=True)
    os.sync()
    words = ["btrfs", "qgroup", "show", "--raw", pool.layout.root]
    shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return {int(line.split()[0].partition("/")[2]) for line in shown.splitlines() if line.startswith("0/")}


def test_what_is_gone_is_counted_no_more(pool: Btrfs) -> None:
    pool.resize(C1, 100 * MIB)
    before = counted(pool)
    pool.copy_volume(C1, C2)
    inside(pool.mount(C2, MAP).path, "btrfs -q subvolume create one; btrfs -q subvolume create one/two; sync -f .")
    pool.create_snapshot(Snapshot(C2, "s1"))
    assert len(counted(pool)) == len(before) + 6
    pool.delete_volume(C2)
    pool.layout.trash.wait()
    eventually(lambda: counted(pool) == before, what="the counts to go")


def test_what_is_there_is_counted_still(pool: Btrfs) -> None:
    with btrfs.opened(pool.layout.root) as opened, btrfs.opened(pool.volume_path(C1)) as volume:
        btrfs_quotas.forget(opened, 99999)  # no quotas are kept
        pool.resize(C1, 100 * MIB)
        btrfs_quotas.forget(opened, 99999)
        assert btrfs.number_of(volume) in counted(pool)
    assert limit_of(pool) == 100 * MIB
