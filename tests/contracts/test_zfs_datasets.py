"""Datasets of zfs pools: named as LXD's, freed at once, destroyed with their last clone, finished after a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import HostError, Unsupported
from lightervisor.kernel import mounts, zfs
from lightervisor.storage import zfs_making
from lightervisor.storage.driver import Snapshot, Volume
from lightervisor.storage.drivers.zfs import Zfs
from tests.contracts.storage_samples import C1, C2, MAP, inside, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1, S2 = Snapshot(C1, "s1"), Snapshot(C1, "s2")
C3 = Volume("containers", "c3")
SIZE = {"size": "256MiB"}


@pytest.fixture
def root(folder: Path) -> Path:
    """Where a pool is to be."""
    try:
        Zfs.probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    return folder / "lxd/storage-pools/lvz1"


def made(root: Path, config: dict[str, str]) -> Zfs:
    driver = Zfs(root, {**SIZE, **config})
    driver.create()
    driver.create_image("img1", unpack)
    driver.create_volume(C1, "img1")
    return driver


def end(driver: Zfs) -> None:
    for volume in driver.volumes("containers"):
        driver.delete_volume(volume)
    driver.delete()
    assert not zfs.exists("lvz1")


@pytest.fixture
def pool(root: Path) -> Iterator[Zfs]:
    """A pool with a volume."""
    driver = made(root, {})
    yield driver
    end(driver)


def names(pool: Zfs) -> set[str]:
    """What there is, when all that can go has gone."""
    pool.layout.trash.wait()
    found = {row[0].removeprefix("lvz1/") for row in zfs.tree(["lvz1"], ["name"], "filesystem,snapshot")}
    return {name for name in found if name.count("/") > (1 if name.startswith("deleted/") else 0)}


def write(pool: Zfs, text: str) -> None:
    (pool.volume_path(C1) / "rootfs/note").write_text(text)


def note(pool: Zfs, volume: Volume = C1) -> str:
    return (pool.volume_path(volume) / "rootfs/note").read_text()


IMAGE = {"images/img1", "images/img1@readonly"}


def test_names_are_lxds(pool: Zfs) -> None:
    pool.create_snapshot(S1)
    pool.create_volume(Volume("custom", "default_data"), None)
    there = {"containers/c1", "containers/c1@snapshot-s1", "custom/default_data"}
    assert names(pool) == IMAGE | there
    assert zfs.get("lvz1/containers/c1", "xattr")["xattr"] in ("sa", "on"), "which are the same since 2.3"
    assert zfs.get("lvz1/containers/c1", "origin", "mountpoint", "canmount", "acltype") == {
        "origin": "lvz1/images/img1@readonly",
        "mountpoint": "legacy",
        "canmount": "noauto",
        "acltype": "posix",
    }
    pool.delete_volume(Volume("custom", "default_data"))


def test_restoring_leaves_snapshots_where_lxd_has_them(pool: Zfs) -> None:
    for number, snapshot in enumerate((S1, S2)):
        write(pool, str(number))
        pool.create_snapshot(snapshot)
    there = IMAGE | {"containers/c1", "containers/c1@snapshot-s1", "containers/c1@snapshot-s2"}
    pool.restore_snapshot(S2, "mark")
    assert (note(pool), names(pool)) == ("1", there)
    pool.restore_snapshot(S1, "mark")
    assert note(pool) == "0"
    assert pool.snapshots(C1) == [S1, S2]
    (other,) = (name for name in names(pool) - there if name.endswith("@snapshot-s2"))
    assert other.startswith("containers-snapshots/c1/")
    pool.restore_snapshot(S2, "mark")
    assert note(pool) == "1"
    pool.delete_snapshot(S1)
    assert [name for name in names(pool) if "snapshot-s1" in name and not name.startswith("deleted/")] == []
    assert pool.snapshots(C1) == [S2]
    pool.restore_snapshot(S2, "mark")
    assert note(pool) == "1"


def test_what_is_deleted_goes_with_its_last_clone(pool: Zfs) -> None:
    pool.copy_volume(C1, C2)
    pool.copy_volume(C2, C3)
    pool.delete_volume(C1)
    pool.delete_volume(C2)
    pool.delete_image("img1")
    left = names(pool)
    assert "containers/c3" in left
    assert {name.split("/")[0] for name in left} == {"containers", "deleted"}
    assert "deleted/images/img1" in left
    pool.create_image("img1", lambda _: pytest.fail("unpacked again"))
    pool.delete_image("img1")
    pool.delete_volume(C3)
    assert names(pool) == set()


def test_copies_that_share_nothing_or_their_image_alone(root: Path) -> None:
    for how, origin in (("false", "-"), ("rebase", "lvz1/images/img1@readonly")):
        pool = made(root, {"zfs.clone_copy": how})
        write(pool, "copied")
        pool.create_snapshot(S1)
        write(pool, "later")
        pool.copy_volume(S1, C2)
        pool.copy_volume(C1, C3)
        assert (note(pool, C2), note(pool, C3)) == ("copied", "later")
        for volume in ("c2", "c3"):
            assert zfs.get(f"lvz1/containers/{volume}", "origin")["origin"] == origin
        assert inside(pool.mount(C3, MAP).path, "getcap bin/ping; stat -c %u home/user").endswith("1000\n")
        pool.delete_volume(C1)
        assert [name for name in names(pool) if name.startswith("deleted/containers/")] == []
        end(pool)


@pytest.mark.parametrize("at", [1, 2, 3, 9])
def test_a_volume_that_is_replaced_is_one_or_the_other(pool: Zfs, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The daemon is killed before each renaming."""
    write(pool, "old")
    pool.create_snapshot(S1)
    write(pool, "new")
    calls, rename = [0], zfs.rename

    def dying(old: str, new: str) -> None:
        calls[0] += 1
        if calls[0] >= at:
            raise SystemExit
        rename(old, new)

    with monkeypatch.context() as context:
        context.setattr(zfs_making.zfs, "rename", dying)
        if at < 9:
            with pytest.raises(SystemExit):
                pool.restore_snapshot(S1, "mark")
        else:
            pool.restore_snapshot(S1, "mark")
    again = Zfs(pool.layout.root, dict(pool.config))
    again.create()
    assert again.has_volume(C1)
    assert (again.restored(C1), note(again)) in ((("mark", "old"), ("", "new")))
    assert again.snapshots(C1) == [S1]
    again.restore_snapshot(S1, "again")
    assert note(again) == "old"
    assert [name for name in names(again) if name.startswith("making/")] == []


def test_directories_agree_with_the_datasets_again(pool: Zfs) -> None:
    write(pool, "kept")
    pool.create_snapshot(S1)
    pool.copy_snapshot(S1, Snapshot(C1, "s9"))
    pool.layout.trash.wait()
    mounts.umount(pool.volume_path(C1))
    pool.volume_path(C1).rmdir()
    pool.snapshot_path(S1).rmdir()
    pool.layout.image_path("img1").rmdir()
    (pool.layout.root / "containers/nothing").mkdir()
    (pool.layout.root / "containers-snapshots/nothing/s1").mkdir(parents=True)
    pool.create()
    assert (note(pool), pool.images()) == ("kept", ["img1"])
    assert pool.snapshots(C1) == [S1, Snapshot(C1, "s9")]
    assert [one.name for one in pool.volumes("containers")] == ["c1"]
    assert pool.layout.entries("containers-snapshots") == ["c1"]


def test_a_pool_that_is_lost_is_named(root: Path) -> None:
    pool = made(root, {})
    pool.layout.trash.wait()
    mounts.umount(pool.volume_path(C1))
    file = root.parent.parent / "disks/lvz1.img"
    zfs.export_pool("lvz1")
    file.rename(file.with_suffix(".hidden"))
    with pytest.raises(HostError, match=r"lvz1.img is not there"):
        Zfs(root, SIZE).create()
    file.with_suffix(".hidden").rename(file)
    pool.create()
    assert pool.has_volume(C1)
    end(pool)
    assert not file.exists()
