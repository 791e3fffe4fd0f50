"""What carries a zfs pool: a file, a block device, somebody's dataset; how it is found again; what is refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Conflict, Failure, HostError, Invalid, Unsupported
from lightervisor.kernel import loops, mounts, zfs
from lightervisor.storage.drivers.zfs import Zfs
from tests.contracts.storage_samples import C1, MAP, inside, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SMALL = {"size": "128MiB"}


@pytest.fixture
def root(folder: Path) -> Path:
    """Where a pool is to be."""
    try:
        Zfs.probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    return folder / "lxd/storage-pools/lvz3"


@pytest.fixture
def other(root: Path, folder: Path) -> Iterator[str]:
    """Somebody's zpool."""
    file = folder / "host.img"
    with file.open("xb") as opened:
        opened.truncate(128 << 20)
    subprocess.run(["zpool", "create", "-m", "none", "-o", "cachefile=none", "lvzhost", file], check=True)
    yield "lvzhost"
    zfs.destroy_pool("lvzhost")


def used(root: Path, config: dict[str, str]) -> Zfs:
    """A pool with a volume."""
    driver = Zfs(root, config)
    driver.create()
    driver.create_image("img1", unpack)
    driver.create_volume(C1, "img1")
    inside(driver.mount(C1, MAP).path, "echo kept > note")
    return driver


def let_go(driver: Zfs, zpool: str) -> None:
    """As a restart of the machine does."""
    driver.layout.trash.wait()
    driver.unmount(C1)
    mounts.umount(driver.volume_path(C1))
    zfs.export_pool(zpool)


def end(driver: Zfs) -> None:
    driver.delete_volume(C1)
    driver.delete()
    assert not driver.layout.root.exists()


def test_a_file_is_made_imported_again_and_removed(root: Path) -> None:
    config = Zfs.completed(root, SMALL)
    file = root.parent.parent / "disks/lvz3.img"
    assert config == {"size": "128MiB", "source": str(file), "zfs.pool_name": "lvz3"}
    driver = used(root, config)
    assert file.stat().st_size == 128 << 20
    assert file.stat().st_mode & 0o777 == 0o600
    let_go(driver, "lvz3")
    again = Zfs(root, config)
    for _ in range(2):
        again.create()
    assert inside(again.mount(C1, MAP).path, "cat note") == "kept\n"
    with pytest.raises(Conflict):
        Zfs.completed(root, SMALL)
    end(again)
    assert not file.exists()
    assert not zfs.exists("lvz3")


def test_a_block_device_is_found_by_its_pool(root: Path, folder: Path) -> None:
    file = folder / "disk"
    with file.open("xb") as opened:
        opened.truncate(128 << 20)
    with loops.attached(file) as device:
        config = Zfs.completed(root, {"source": str(device), **SMALL})
        assert config == {"source": "lvz3", "zfs.pool_name": "lvz3", "volatile.initial_source": str(device)}
        driver = used(root, config)
        let_go(driver, "lvz3")
        again = Zfs(root, config)
        again.create()
        assert inside(again.mount(C1, MAP).path, "cat note") == "kept\n"
        end(again)
    assert not zfs.exists("lvz3")


@pytest.mark.parametrize("dataset", ["lvzhost", "lvzhost/some/where", "lvzhost/there"])
def test_a_dataset_of_somebody(root: Path, other: str, dataset: str) -> None:
    if dataset.endswith("there"):
        zfs.create(dataset, {})
    config = Zfs.completed(root, {"source": dataset})
    driver = used(root, config)
    assert zfs.exists(f"{dataset}/containers/c1")
    with pytest.raises(Invalid, match="isn't empty"):
        Zfs.completed(root, {"source": dataset})
    end(driver)
    assert not zfs.exists(dataset)
    assert zfs.exists(other) == ("/" in dataset)


def test_what_is_somebodys_is_neither_used_nor_destroyed(root: Path, other: str) -> None:
    zfs.create(f"{other}/precious", {})
    for config in ({"zfs.pool_name": other}, {"zfs.pool_name": other, "source": other}):
        driver = Zfs(root, config)
        with pytest.raises(Conflict, match="somebody's"):
            driver.create()
        driver.delete()
        assert zfs.exists(f"{other}/precious")
    with pytest.raises(Conflict, match="is there already"):
        Zfs.completed(root, {"zfs.pool_name": other})


def test_what_cannot_be_a_source_is_refused(root: Path, other: str) -> None:
    wrong = {
        "nowhere": "no zpool or dataset nowhere",
        "nowhere/below": "no zpool or dataset nowhere/below",
        "/proc/version": "Custom loop file locations are not supported",
    }
    for source, complaint in wrong.items():
        with pytest.raises(Invalid, match=complaint):
            Zfs.completed(root, {"source": source})
    with pytest.raises(Invalid, match="must match"):
        Zfs.completed(root, {"source": other, "zfs.pool_name": "else"})
    with pytest.raises(Invalid, match="point to a dataset"):
        Zfs.completed(root, {"zfs.pool_name": "a/b"})
    with pytest.raises(Invalid, match="too small"):
        Zfs.completed(root, {"size": "1MiB"})
    assert not root.exists()


def test_a_file_grows(root: Path) -> None:
    driver = used(root, SMALL)
    before = driver.usage().space_total
    with pytest.raises(Invalid, match="smaller"):
        driver.reconfigure({"size": "120MiB"})
    with pytest.raises(Invalid, match="cannot be modified"):
        driver.reconfigure({**SMALL, "zfs.pool_name": "else"})
    driver.reconfigure({"size": "300MiB"})
    assert driver.usage().space_total > before + (100 << 20)
    end(driver)


def test_a_full_pool_gives_one_message_and_leaves_nothing(root: Path) -> None:
    driver = used(root, SMALL)

    def much(target: Path) -> None:
        (target / "rootfs").mkdir()
        (target / "rootfs/big").write_bytes(os.urandom(1 << 20) * 200)

    with pytest.raises(HostError, match="no space is left in storage pool 'lvz3'") as caught:
        driver.create_image("img2", much)
    assert caught.value.remedy
    assert driver.images() == ["img1"]
    driver.layout.trash.wait()
    inside(driver.mount(C1, MAP).path, "dd if=/dev/urandom of=big bs=64k 2>/dev/null || true")
    with pytest.raises(Failure, match="no space is left"):
        driver.create_image("img2", much)
    driver.mount(C1, MAP)
    end(driver)
