"""Custom volumes of every storage driver: opened by descriptor, shown to several at once with maps of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightervisor.errors import NotFound
from lightervisor.kernel import syscalls
from lightervisor.kernel.idmap import IdMap
from lightervisor.kernel.userns import namespace_of
from lightervisor.storage.driver import StorageDriver, Volume
from tests.contracts.storage_samples import MAP, OTHER, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
DATA = Volume("custom", "default_data")


def show(pool: StorageDriver, idmap: IdMap, target: Path) -> None:
    target.mkdir()
    opened = pool.open_volume(DATA)
    tree = syscalls.open_tree("", directory=opened)
    os.close(opened)
    syscalls.mount_setattr(tree, set=syscalls.MOUNT_ATTR_IDMAP, namespace=namespace_of(idmap))
    syscalls.move_mount(tree, target)
    os.close(tree)


def test_a_volume_is_shown_with_several_maps_at_once(pool: StorageDriver) -> None:
    pool.create_volume(DATA, None)
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
    pool.delete_volume(DATA)


def test_what_is_shown_is_not_taken_away_by_others(pool: StorageDriver) -> None:
    pool.create_volume(DATA, None)
    target = pool.layout.root.parent / "shown"
    show(pool, MAP, target)
    try:
        pool.unmount(DATA)
        assert inside(target, "echo there > one; cat one") == "there\n"
    finally:
        syscalls.umount2(target)
        target.rmdir()
    opened = pool.open_volume(DATA)
    assert [one.name for one in Path(f"/proc/self/fd/{opened}").iterdir()] == ["one"]
    os.close(opened)
    pool.delete_volume(DATA)


def test_a_volume_that_is_not_there_is_named(pool: StorageDriver) -> None:
    with pytest.raises(NotFound):
        pool.open_volume(DATA)
