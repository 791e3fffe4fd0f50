"""Custom volumes of every storage driver: opened by descriptor, shown to several at once with maps of their own."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from lightervisor.errors import NotFound
from lightervisor.kernel import syscalls
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.userns import namespace_of
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from lightervisor.storage.drivers.overlay import Overlay
from lightervisor.storage.layers import Chain
from tests.contracts.storage_samples import MAP, OTHER, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
DATA = Volume("custom", "default_data")


def show(pool: StorageDriver, idmap: IdMap, target: Path, volume: Volume = DATA) -> None:
    target.mkdir()
    opened = pool.keeper("custom").open_volume(volume)
    tree = syscalls.open_tree("", directory=opened)
    os.close(opened)
    syscalls.mount_setattr(tree, set=syscalls.MOUNT_ATTR_IDMAP, namespace=namespace_of(idmap))
    syscalls.move_mount(tree, target)
    os.close(tree)


def test_a_volume_is_shown_with_several_maps_at_once(pool: StorageDriver) -> None:
    pool.keeper("custom").create_volume(DATA, None)
    shown = [pool.layout.root.parent / name for name in ("shown-1", "shown-2")]
    for target, idmap in zip(shown, (MAP, OTHER), strict=True):
        show(pool, idmap, target)
    try:
        inside(shown[0], "echo first > one; chown 33:44 one; chmod 777 .")
        assert inside(shown[1], "cat one; stat -c %u:%g one . ; echo more >> one", OTHER) == "first\n33:44\n0:0\n"
        assert inside(shown[0], "cat one") == "first\nmore\n"
    finally:
        for target in shown:
            syscalls.umount2(target)
            target.rmdir()
    pool.keeper("custom").delete_volume(DATA)


def test_what_is_shown_is_not_taken_away_by_others(pool: StorageDriver) -> None:
    pool.keeper("custom").create_volume(DATA, None)
    target = pool.layout.root.parent / "shown"
    show(pool, MAP, target)
    try:
        pool.keeper("custom").unmount(DATA)
        assert inside(target, "echo there > one; cat one") == "there\n"
    finally:
        syscalls.umount2(target)
        target.rmdir()
    opened = pool.keeper("custom").open_volume(DATA)
    assert [one.name for one in Path(f"/proc/self/fd/{opened}").iterdir()] == ["one"]
    os.close(opened)
    pool.keeper("custom").delete_volume(DATA)


def test_a_volume_that_is_not_there_is_named(pool: StorageDriver) -> None:
    with pytest.raises(NotFound):
        pool.keeper("custom").open_volume(DATA)


def test_snapshots_and_copies_of_what_is_shown(pool: StorageDriver) -> None:
    customs, copy = pool.keeper("custom"), Volume("custom", "default_copy")
    customs.create_volume(DATA, None)
    target = pool.layout.root.parent / "shown"
    show(pool, MAP, target)
    try:
        inside(target, "echo one > file; chown 33:44 file")
        customs.create_snapshot(Snapshot(DATA, "s1"), nullcontext)
        inside(target, "echo two > file; echo more > other")
        customs.create_snapshot(Snapshot(DATA, "s2"), nullcontext)
        customs.copy_volume(DATA, copy, nullcontext)
        inside(target, "echo three > file")
    finally:
        syscalls.umount2(target)
        target.rmdir()
    with customs.opened(Snapshot(DATA, "s1")) as opened:
        assert (opened / "rootfs/file").read_text() == "one\n"
        assert ((opened / "rootfs/file").stat().st_uid, (opened / "rootfs/file").stat().st_gid) == (33, 44)
        assert not (opened / "rootfs/other").exists()
    for made in (Snapshot(DATA, "s2"), copy):
        with customs.opened(made) as opened:
            assert (opened / "rootfs/file").read_text() == "two\n"
    customs.restore_snapshot(Snapshot(DATA, "s1"), "mark")
    assert customs.restored(DATA) == "mark"
    for volume, names in ((DATA, ["file"]), (copy, ["file", "other"])):
        root = customs.open_volume(volume)
        assert sorted(one.name for one in Path(f"/proc/self/fd/{root}").iterdir()) == names
        os.close(root)
        show_again = pool.layout.root.parent / f"again-{volume.name}"
        show(pool, OTHER, show_again, volume)
        assert inside(show_again, "stat -c %u:%g file", OTHER) == "33:44\n"
        syscalls.umount2(show_again)
        show_again.rmdir()
        customs.delete_volume(volume)
    assert not customs.snapshots(DATA)


def test_volumes_of_older_daemons_become_plain_directories(folder: Path) -> None:
    pool = Overlay(folder / "storage-pools/p1", {})
    pool.create()
    directory, layer = pool.volume_path(DATA), pool.layout.root / "layers/0123456789abcdef"
    (directory / "rootfs").mkdir(parents=True)
    for name in ("upper", "work"):
        (layer / name).mkdir(parents=True)
    (layer / "upper/file").write_text("kept")
    pool._layers.write(directory, Chain(top="layers/0123456789abcdef"))
    for _ in range(2):
        pool.create()
        assert (directory / "rootfs/file").read_text() == "kept"
        assert sorted(one.name for one in directory.iterdir()) == ["rootfs"]
    assert not layer.exists()
    pool.keeper("custom").delete_volume(DATA)
    pool.delete()
