"""One suite for every storage driver, on the file system of /tmp: real mounts and a real user namespace, so root."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lightervisor.errors import Conflict, Failure, HostError, Invalid, NotFound
from lightervisor.kernel import mounts
from lightervisor.storage.driver import StorageDriver, Volume
from lightervisor.storage.plain import PlainDirectories
from tests.contracts.storage_samples import BASE, C1, C2, MAP, OTHER, OWN_FILE_SYSTEM, inside, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_a_volume_shows_the_image_to_the_mapped_root(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP)
    assert root.idmapped
    assert root.path == pool.volume_path(C1) / "rootfs"
    script = "cat etc/hostname; stat -c '%u %a' . bin/tool home/user; readlink etc/mtab"
    assert inside(root.path, script) == "image\n0 751\n0 4755\n1000 755\n/proc/mounts\n"
    assert inside(root.path, "cat /proc/self/uid_map").split() == ["0", str(BASE), "65536"]
    assert root.path.stat().st_uid == BASE
    assert inside(root.path, "test bin/tool -ef bin/same && test -p var/pipe && echo linked") == "linked\n"
    pool.unmount(C1)


def test_files_on_disk_keep_plain_owners(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP).path
    inside(root, "echo new > etc/new; chown 5:6 etc/hostname; mkdir made; chown 1000 made")
    assert inside(root, "stat -c '%u:%g' etc/new etc/hostname made") == "0:0\n5:6\n1000:0\n"
    again = pool.mount(C1, OTHER).path
    assert again.stat().st_uid == 2_000_000
    assert (
        inside(again, "stat -c '%u:%g' etc/new etc/hostname made; echo more >> etc/new", OTHER) == "0:0\n5:6\n1000:0\n"
    )
    plain = pool.mount(C1, None)
    assert not plain.idmapped
    assert (plain.path / "etc/new").read_text() == "new\nmore\n"
    assert (plain.path / "etc/new").stat().st_uid == 0
    assert (plain.path / "etc/hostname").stat().st_uid == 5
    pool.unmount(C1)


def test_directories_of_the_image_can_be_renamed_and_removed(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP).path
    inside(root, "mv etc/skel etc/moved; rm bin/same; rm -r home; mkdir home; mv etc etc2; cat etc2/moved/profile")
    pool.unmount(C1)
    root = pool.mount(C1, MAP).path
    listing = inside(root, "ls home bin etc2/moved; test ! -e etc && echo gone")
    assert listing == "bin:\nping\ntool\n\netc2/moved:\nprofile\n\nhome:\ngone\n"
    pool.create_volume(C2, "img1")
    assert "same" in inside(pool.mount(C2, OTHER).path, "ls bin", OTHER)


def test_attributes_and_capabilities_are_kept_and_can_be_set(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP).path
    assert inside(root, "getcap bin/ping").strip() in (
        "bin/ping cap_net_bind_service=ep",
        "bin/ping = cap_net_bind_service+ep",
    )
    assert inside(root, "getfattr --only-values -n user.note bin/ping") == "kept"
    inside(root, "setcap cap_net_raw=ep bin/tool; setfattr -n user.note -v changed bin/ping")
    assert "cap_net_raw" in inside(root, "getcap bin/tool")
    assert inside(root, "getfattr --only-values -n user.note bin/ping; getcap bin/ping").startswith("changed")


def test_the_mapped_root_owns_everything_it_makes(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP).path
    script = (
        "mkfifo p; ln -s x l; mkdir -p a/b/c; echo 1 > a/b/c/f; ln a/b/c/f hard; chmod 4755 hard; stat -c %u p l a hard"
    )
    assert inside(root, script) == "0\n0\n0\n0\n"


def test_volumes_of_one_image_do_not_see_each_other(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    pool.create_volume(C2, "img1")
    inside(pool.mount(C1, MAP).path, "echo one > etc/hostname")
    assert inside(pool.mount(C2, OTHER).path, "cat etc/hostname", OTHER) == "image\n"


def test_an_empty_volume_can_be_written_to(pool: StorageDriver) -> None:
    pool.create_volume(C1, None)
    root = pool.mount(C1, MAP).path
    assert inside(root, "mkdir a; echo x > a/b; mv a c; stat -c %u . c/b; ls") == "0\n0\nc\n"
    assert pool.has_volume(C1)


def test_metadata_and_templates_are_the_volumes_own(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    directory = pool.volume_path(C1)
    assert (directory / "metadata.yaml").read_text() == "architecture: x86_64\n"
    (directory / "templates/hostname.tpl").write_text("changed")
    assert not (directory / "templates/evil.tpl").exists()
    pool.create_volume(C2, "img1")
    assert (pool.volume_path(C2) / "templates/hostname.tpl").read_text() == "{{ container.name }}"


def test_nobody_else_can_reach_into_a_volume(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    root = pool.mount(C1, MAP).path
    done = subprocess.run(
        ["stat", str(root / "bin/tool")], user=12345, group=12345, extra_groups=[], capture_output=True, check=False
    )
    assert done.returncode != 0
    for hidden in ("images", "trash"):
        assert stat.S_IMODE((pool.layout.root / hidden).stat().st_mode) == 0o700


def test_everything_may_be_done_twice(pool: StorageDriver) -> None:
    pool.create()
    pool.create_image("img1", lambda _: pytest.fail("unpacked again"))
    for _ in range(2):
        pool.create_volume(C1, "img1")
    first = pool.mount(C1, MAP)
    inside(first.path, "echo here > note")
    before = mount_id(first.path)
    assert pool.mount(C1, MAP) == first
    assert mount_id(first.path) == before
    for _ in range(2):
        pool.unmount(C1)
    for _ in range(2):
        pool.rename_volume(C1, C2)
    assert inside(pool.mount(C2, MAP).path, "cat note") == "here\n"
    pool.unmount(C2)
    for _ in range(2):
        pool.delete_volume(C2)
        pool.delete_image("img1")
    assert not pool.has_volume(C2)
    assert pool.images() == []


def mount_id(path: Path) -> str:
    return next(
        line.split()[0]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.split()[4] == str(path)
    )


def test_deleting_takes_a_mounted_volume_and_leaves_nothing(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    inside(pool.mount(C1, MAP).path, "i=0; while [ $i -lt 100 ]; do mkdir -p d$i/x; echo > d$i/x/f; i=$((i+1)); done")
    pool.delete_volume(C1)
    assert not pool.volume_path(C1).exists()
    pool.layout.trash.wait()
    assert list(pool.layout.trash.directory.iterdir()) == []


def test_a_volume_outlives_its_image(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    pool.delete_image("img1")
    assert not pool.has_image("img1")
    assert pool.images() == []
    with pytest.raises(NotFound):
        pool.create_volume(C2, "img1")
    assert inside(pool.mount(C1, MAP).path, "cat etc/hostname") == "image\n"
    pool.delete_volume(C1)
    pool.layout.trash.wait()
    assert list((pool.layout.root / "images").iterdir()) == []


def test_a_deleted_image_comes_back(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    pool.delete_image("img1")
    pool.create_image("img1", unpack)
    assert pool.images() == ["img1"]
    pool.create_volume(C2, "img1")
    pool.delete_volume(C1)
    assert inside(pool.mount(C2, MAP).path, "cat etc/hostname") == "image\n"


def test_a_failing_unpack_leaves_nothing(pool: StorageDriver) -> None:
    def fail(target: Path) -> None:
        (target / "rootfs").mkdir()
        raise HostError("program", "tar", cause="is broken")

    with pytest.raises(HostError, match="is broken"):
        pool.create_image("img2", fail)
    assert pool.images() == ["img1"]
    assert list(pool.layout.trash.directory.iterdir()) == []


def test_an_image_without_a_real_root_is_refused(pool: StorageDriver) -> None:
    with pytest.raises(Invalid):
        pool.create_image("img2", lambda target: (target / "rootfs").symlink_to("/"))
    with pytest.raises(Invalid):
        pool.create_image("img3", lambda target: None)
    with pytest.raises(Invalid):
        pool.create_image("../x", unpack)


def test_missing_things_are_named(pool: StorageDriver) -> None:
    with pytest.raises(NotFound):
        pool.mount(C1, MAP)
    with pytest.raises(NotFound):
        pool.rename_volume(C1, C2)
    with pytest.raises(NotFound):
        pool.create_volume(C1, "nothing")
    pool.delete_volume(C1)
    pool.unmount(C1)


def test_a_taken_name_is_refused(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    pool.create_volume(C2, "img1")
    with pytest.raises(Conflict):
        pool.rename_volume(C1, C2)
    assert pool.has_volume(C1)


def test_a_pool_with_volumes_is_not_deleted(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    with pytest.raises(Conflict):
        pool.delete()
    assert inside(pool.mount(C1, MAP).path, "cat etc/hostname") == "image\n"


def test_size_and_usage_are_told(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    before = pool.size(C1)
    inside(pool.mount(C1, MAP).path, "dd if=/dev/urandom of=big bs=1M count=3 2>/dev/null; sync big")
    assert 3 << 20 <= pool.size(C1) - before <= 4 << 20
    usage = pool.usage()
    assert 0 < usage.space_used < usage.space_total
    assert 0 < usage.inodes_used < usage.inodes_total or pool.name in OWN_FILE_SYSTEM


def test_a_pool_may_live_in_another_directory(kind: type[StorageDriver], folder: Path) -> None:
    if kind.name in OWN_FILE_SYSTEM:
        pytest.skip("on a file system of its kind: test_btrfs_sources, test_zfs_sources")
    source = folder / "elsewhere"
    source.mkdir(mode=0o711)
    driver = kind(folder / "storage-pools/p2", {"source": str(source)})
    for _ in range(2):
        driver.create()
    driver.create_image("img1", unpack)
    driver.create_volume(C1, "img1")
    assert (source / "containers/c1").is_dir()
    assert inside(driver.mount(C1, MAP).path, "cat etc/hostname") == "image\n"
    driver.delete_volume(C1)
    driver.delete()
    assert list(source.iterdir()) == []
    assert not driver.layout.root.exists()


def test_a_full_disk_gives_one_message_and_leaves_nothing(kind: type[StorageDriver], folder: Path) -> None:
    if kind.name in OWN_FILE_SYSTEM:
        pytest.skip("takes 64 MiB at least: test_btrfs_sources, test_zfs_sources")
    disk = folder / "disk"
    disk.mkdir()
    mounts.mount("none", disk, "tmpfs", data="size=1m,mode=0711")
    try:
        driver = kind(disk / "p3", {})
        driver.create()

        def fill(target: Path) -> None:
            (target / "rootfs").mkdir()
            (target / "rootfs/big").write_bytes(bytes(2 << 20))

        with pytest.raises(HostError, match="no space is left in storage pool 'p3'") as caught:
            driver.create_image("img1", fill)
        assert caught.value.remedy
        assert driver.images() == []
        assert list(driver.layout.trash.directory.iterdir()) == []
        driver.create_image("img1", unpack)
        driver.create_volume(C1, "img1")
        root = driver.mount(C1, MAP).path
        inside(root, "dd if=/dev/zero of=big bs=64k 2>/dev/null || true")
        driver.unmount(C1)
        with pytest.raises(Failure, match="no space is left"):
            for number in range(300):
                driver.create_volume(Volume("containers", f"x{number}"), "img1")
        driver.mount(C1, MAP)
        for volume in driver.volumes("containers"):
            driver.delete_volume(volume)
        driver.delete()
    finally:
        mounts.umount(disk)


@pytest.mark.parametrize("delay_ms", [0, 1, 3, 8, 20, 60])
def test_killed_in_the_middle_it_is_whole_or_gone(pool: StorageDriver, delay_ms: int) -> None:
    pid = os.fork()
    if pid == 0:  # the child only makes, renames and deletes volumes until it is killed
        try:
            while True:
                for name in ("a", "b", "c"):
                    pool.create_volume(Volume("containers", name), "img1")
                pool.rename_volume(Volume("containers", "a"), Volume("containers", "d"))
                for name in ("b", "c", "d"):
                    pool.delete_volume(Volume("containers", name))
        finally:
            os._exit(1)
    time.sleep(delay_ms / 1000)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    again = type(pool)(pool.layout.root, {})
    again.create()
    again.layout.trash.wait()
    assert list(again.layout.trash.directory.iterdir()) == []
    assert set(again.images()) == {"img1"}
    for volume in again.volumes("containers"):
        assert inside(again.mount(volume, MAP).path, "cat etc/hostname bin/tool") == "image\n#!/bin/sh\n"
        assert (again.volume_path(volume) / "metadata.yaml").read_text()


def test_many_at_once(pool: StorageDriver) -> None:
    failures: list[BaseException] = []

    def life(number: int) -> None:
        volume = Volume("containers", f"t{number}")
        try:
            for _ in range(5):
                pool.create_volume(volume, "img1")
                (pool.mount(volume, MAP).path / "x").exists()
                pool.unmount(volume)
                pool.delete_volume(volume)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=life, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert pool.volumes("containers") == []


def test_plain_directories_are_outside_the_root(pool: StorageDriver) -> None:
    if not isinstance(pool, PlainDirectories):
        pytest.skip(f"{pool.name} has plain directories everywhere")
    pool.create_volume(C1, "img1")
    inside(pool.mount(C1, MAP).path, "mkdir -p var/lib/lxd; echo > var/lib/lxd/file")
    found = pool.plain_directories(C1)
    assert [one.guest for one in found] == ["var/lib/docker", "var/lib/containers"]
    assert all(one.host.is_dir() and not mounts.is_mountpoint(one.host) for one in found)
    assert pool.plain_directories(C1) == found
    assert pool.has_volume(C1)


def test_an_image_deleted_under_way_leaves_a_whole_volume_or_none(kind: type[StorageDriver], folder: Path) -> None:
    files = 20_000
    driver = kind(folder / "storage-pools/p2", {})
    driver.create()

    def many(target: Path) -> None:
        (target / "rootfs/d").mkdir(parents=True)
        for number in range(files):
            (target / f"rootfs/d/{number}").touch()

    driver.create_image("img2", many)
    outcome: list[object] = []

    def create() -> None:
        try:
            driver.create_volume(C1, "img2")
        except Failure as failure:
            outcome.append(failure)

    creating = threading.Thread(target=create)
    creating.start()
    trash = driver.layout.trash.directory
    while creating.is_alive() and not any(trash.glob("*/rootfs/d/*")):
        time.sleep(0.001)  # until the copy has begun, if this driver copies
    driver.delete_image("img2")
    creating.join()
    if outcome:
        assert isinstance(outcome[0], NotFound)
        assert not driver.has_volume(C1)
    else:
        assert len(list((driver.mount(C1, MAP).path / "d").iterdir())) == files
    driver.delete_volume(C1)
    driver.delete()
