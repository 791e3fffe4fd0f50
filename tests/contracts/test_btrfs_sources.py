"""What carries a btrfs pool: a file, a block device, a directory of another btrfs; and how it is found again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Conflict, Failure, HostError, Invalid, Unsupported
from lightervisor.kernel import btrfs, loops, mounts, syscalls
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.contracts.storage_samples import C1, MAP, inside, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SMALL = {"size": "128MiB"}


@pytest.fixture
def root(folder: Path) -> Path:
    """Where a pool is to be."""
    try:
        Btrfs.probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    return folder / "lxd/storage-pools/p1"


@pytest.fixture
def other(root: Path, folder: Path) -> Iterator[Path]:
    """A btrfs of the host."""
    place, file = folder / "host", folder / "host.img"
    place.mkdir()
    with file.open("xb") as opened:
        opened.truncate(128 << 20)
    subprocess.run(["mkfs.btrfs", "-q", file], check=True, capture_output=True)
    with loops.attached(file) as device:
        mounts.mount(device, place, "btrfs")
    yield place
    mounts.umount(place)


def used(root: Path, config: dict[str, str]) -> Btrfs:
    """A pool with a volume."""
    driver = Btrfs(root, config)
    driver.create()
    driver.create_image("img1", unpack)
    driver.create_volume(C1, "img1")
    inside(driver.mount(C1, MAP).path, "echo kept > note")
    return driver


def end(driver: Btrfs) -> None:
    driver.delete_volume(C1)
    driver.delete()
    assert not driver.layout.root.exists()


def test_a_file_is_made_mounted_again_and_removed(root: Path) -> None:
    config = Btrfs.completed(root, SMALL)
    file = root.parent.parent / "disks/p1.img"
    assert config == {"size": "128MiB", "source": str(file)}
    driver = used(root, config)
    assert file.stat().st_size == 128 << 20
    assert file.stat().st_mode & 0o777 == 0o600
    driver.unmount(C1)
    mounts.umount(root)
    again = Btrfs(root, config)
    for _ in range(2):
        again.create()
    assert inside(again.mount(C1, MAP).path, "cat note") == "kept\n"
    with pytest.raises(Conflict):
        Btrfs.completed(root, SMALL)
    end(again)
    assert not file.exists()


def test_what_somebody_still_holds_is_not_mounted_beside_itself(root: Path) -> None:
    driver = used(root, SMALL)
    held = os.open(driver.volume_path(C1) / "metadata.yaml", os.O_RDONLY)
    device = root.stat().st_dev
    driver.unmount(C1)
    syscalls.umount2(root, syscalls.MNT_DETACH)
    driver.create()
    assert root.stat().st_dev == device
    assert inside(driver.mount(C1, MAP).path, "cat note") == "kept\n"
    os.close(held)
    end(driver)


def test_a_lost_file_is_not_made_anew(root: Path) -> None:
    driver = used(root, SMALL)
    driver.unmount(C1)
    mounts.umount(root)
    file = root.parent.parent / "disks/p1.img"
    file.rename(file.with_suffix(".hidden"))
    with pytest.raises(HostError, match=r"p1.img is not there"):
        Btrfs(root, SMALL).create()
    assert not file.exists()
    file.with_suffix(".hidden").rename(file)
    driver.create()
    end(driver)


def test_a_block_device_is_found_by_its_file_system(root: Path, folder: Path) -> None:
    file = folder / "disk"
    with file.open("xb") as opened:
        opened.truncate(128 << 20)
    with loops.attached(file) as device:
        config = Btrfs.completed(root, {"source": str(device), **SMALL})
        assert config.keys() == {"source", "volatile.initial_source"}
        driver = used(root, config)
        driver.unmount(C1)
        mounts.umount(root)
        again = Btrfs(root, {"source": config["source"]})
        again.create()
        assert inside(again.mount(C1, MAP).path, "cat note") == "kept\n"
        end(again)
        with pytest.raises(HostError, match="has a file system already"):
            Btrfs(root, Btrfs.completed(root, {"source": str(device)})).create()
        assert not root.exists() or not mounts.is_mountpoint(root)
    with pytest.raises(HostError, match="no block device has the file system"):
        again.create()


@pytest.mark.parametrize("kind", ["directory", "subvolume", "nothing"])
def test_a_directory_of_another_btrfs(root: Path, other: Path, kind: str) -> None:
    source = other / "pool"
    if kind == "directory":
        source.mkdir()
    elif kind == "subvolume":
        btrfs.create(source)
    config = Btrfs.completed(root, {"source": str(source)})
    driver = used(root, config)
    assert (source / "containers/c1/rootfs").is_dir()
    with pytest.raises(Invalid, match="not empty"):
        Btrfs.completed(root, {"source": str(source)})
    end(driver)
    assert list(source.iterdir()) == []


def test_a_subvolume_where_the_pools_are(other: Path) -> None:
    """As lxd init proposes where LXD_DIR is on btrfs."""
    root = other / "storage-pools/p1"
    root.parent.mkdir()
    config = Btrfs.completed(root, {"source": str(root)})
    used(root, config)
    assert btrfs.is_subvolume(root)
    again = Btrfs(root, config)
    again.create()
    assert inside(again.mount(C1, MAP).path, "cat note") == "kept\n"
    end(again)


def test_a_pool_that_no_row_tells_of(root: Path) -> None:
    with pytest.raises(HostError, match="is not there"):
        Btrfs.found(root, {})
    assert not (root.parent.parent / "disks").exists()
    driver = used(root, SMALL)
    driver.unmount(C1)
    mounts.umount(root)
    found = Btrfs.found(root, {})
    assert found.volumes("containers") == [C1]
    assert found.config == {"source": str(root.parent.parent / "disks/p1.img")}
    end(driver)


def test_what_cannot_be_a_source_is_refused(root: Path, other: Path) -> None:
    (other / "file").touch()
    wrong = {
        "relative": "Invalid .source. property",
        str(root.parent.parent): "Only allowed source path",
        "/proc": "does not reside on a btrfs",
        str(other / "none/below"): "doesn't exist",
        str(other / "file"): "not a directory",
    }
    for source, complaint in wrong.items():
        with pytest.raises(Invalid, match=complaint):
            Btrfs.completed(root, {"source": source})
    with pytest.raises(Invalid, match="too small"):
        Btrfs.completed(root, {"size": "1MiB"})
    assert not root.exists()


def test_options_of_mounting(root: Path) -> None:
    driver = used(root, {**SMALL, "btrfs.mount_options": "noatime,compress=zstd,user_subvol_rm_allowed"})
    shown = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {root} " in line)
    assert "noatime" in shown
    assert "compress=zstd" in shown
    driver.reconfigure({**SMALL, "btrfs.mount_options": "nodatacow"})
    again = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {root} " in line)
    assert "nodatacow" in again and "noatime" not in again
    end(driver)
    with pytest.raises(HostError, match=r"could not be mounted"):
        Btrfs(root, {**SMALL, "btrfs.mount_options": "nonsense"}).create()
    Btrfs(root, SMALL).delete()
    assert not root.exists()


def test_a_file_grows(root: Path) -> None:
    driver = used(root, SMALL)
    before = driver.usage().space_total
    with pytest.raises(Invalid, match="smaller"):
        driver.reconfigure({"size": "120MiB"})
    driver.reconfigure({"size": "300MiB"})
    assert driver.usage().space_total == before + (172 << 20)
    end(driver)


def test_a_full_pool_gives_one_message_and_leaves_nothing(root: Path) -> None:
    driver = used(root, SMALL)

    def much(target: Path) -> None:
        (target / "rootfs").mkdir()
        (target / "rootfs/big").write_bytes(os.urandom(1 << 20) * 200)

    with pytest.raises(HostError, match="no space is left in storage pool 'p1'") as caught:
        driver.create_image("img2", much)
    assert caught.value.remedy
    assert driver.images() == ["img1"]
    assert list(driver.layout.trash.directory.iterdir()) == []
    inside(driver.mount(C1, MAP).path, "dd if=/dev/urandom of=big bs=64k 2>/dev/null || true")
    with pytest.raises(Failure, match="no space is left"):
        driver.create_image("img2", much)
    driver.mount(C1, MAP)
    end(driver)


@pytest.mark.parametrize("stored", ["", "130MiB"])
def test_a_file_is_never_cut_off(root: Path, stored: str) -> None:
    driver = used(root, {"size": "400MiB"})
    file = root.parent.parent / "disks/p1.img"
    if not stored:
        with pytest.raises(Invalid, match="has a size"):
            driver.reconfigure({})
    driver.config = {"size": stored}  # as after a kill before what was done is stored
    with pytest.raises(Invalid, match="smaller"):
        driver.reconfigure({"size": "200MiB"})
    assert file.stat().st_size == 400 << 20
    driver.reconfigure({"size": "401MiB"})
    assert driver.usage().space_total == 401 << 20
    end(driver)


def test_a_file_grows_through_a_link_and_at_the_next_mount(root: Path) -> None:
    (root.parents[1]).with_name("real").mkdir()
    root.parents[1].symlink_to("real")
    driver = used(root, SMALL)
    with pytest.raises(Invalid, match="256MiB at least"):
        driver.reconfigure({"size": "200MiB"})
    driver.reconfigure({"size": "256MiB"})
    assert driver.usage().space_total == 256 << 20
    driver.unmount(C1)
    mounts.umount(root)
    os.truncate(root.parents[1] / "disks/p1.img", 300 << 20)  # as a daemon that died then
    driver.create()
    assert driver.usage().space_total == 300 << 20
    end(driver)


def test_a_directory_whose_disk_is_not_mounted_is_not_made_anew(root: Path, other: Path) -> None:
    source = other / "pool"
    driver = used(root, Btrfs.completed(root, {"source": str(source)}))
    driver.unmount(C1)
    mounts.umount(root)
    source.rename(other / "elsewhere")
    for is_there in (False, True):
        if is_there:
            source.mkdir()
        with pytest.raises(HostError, match="does not hold it"):
            driver.create()
        assert not mounts.is_mountpoint(root)
    source.rmdir()
    (other / "elsewhere").rename(source)
    driver.create()
    end(driver)


def test_a_file_that_cannot_be_mounted_is_not_removed_unseen(root: Path) -> None:
    driver = used(root, SMALL)
    driver.unmount(C1)
    mounts.umount(root)
    lost = Btrfs(root, {**SMALL, "btrfs.mount_options": "nonsense"})
    with pytest.raises(HostError, match="what is in it cannot be seen") as refused:
        lost.delete()
    assert "rm " in refused.value.remedy
    with pytest.raises(Conflict, match="containers/c1 is still in it"):
        driver.delete()
    end(driver)


def test_what_could_not_be_made_goes_as_a_whole(root: Path) -> None:
    driver = Btrfs(root, {**SMALL, "btrfs.mount_options": "nonsense"})
    with pytest.raises(HostError, match="could not be mounted"):
        driver.create()
    for _ in range(2):
        driver.abandon()
    assert not root.exists()
    assert not (root.parents[1] / "disks/p1.img").exists()
