"""Volumes and snapshots made of trees that come from elsewhere, as those of backups do."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightervisor.errors import Invalid
from lightervisor.storage.driver import Snapshot, StorageDriver, Volume
from lightervisor.storage.volume import PASSING, PostponedError
from tests.contracts.storage_samples import BASE, C1, C2, MAP, inside, unpack

S1 = Snapshot(C1, "s1")
PARTS = Volume("containers", f"{PASSING}parts")


def test_a_volume_is_what_it_was_filled_with(pool: StorageDriver) -> None:
    pool.fill_volume(C1, unpack)
    root = pool.mount(C1, MAP).path
    assert (
        inside(root, "cat etc/hostname; stat -c %u:%g home/user; stat -c %a:%h bin/tool")
        == "image\n1000:1000\n4755:2\n"
    )
    assert (root / "home/user").stat().st_uid == BASE + 1000
    assert (pool.volume_path(C1) / "metadata.yaml").read_text() == "architecture: x86_64\n"
    inside(root, "echo new >etc/new; rm etc/hostname")
    pool.unmount(C1)
    assert inside(pool.mount(C1, MAP).path, "cat etc/new; test -e etc/hostname || echo gone") == "new\ngone\n"


def test_a_filled_snapshot_comes_back(pool: StorageDriver) -> None:
    def other(target: Path) -> None:
        unpack(target)
        (target / "rootfs/etc/hostname").write_text("then\n")

    pool.fill_volume(C1, unpack)
    pool.fill_snapshot(S1, other)
    assert (pool.mount_snapshot(S1).path / "etc/hostname").read_text() == "then\n"
    pool.unmount_snapshot(S1)
    pool.restore_snapshot(S1, "")
    assert inside(pool.mount(C1, MAP).path, "cat etc/hostname; echo more >etc/hostname") == "then\n"
    assert (pool.mount_snapshot(S1).path / "etc/hostname").read_text() == "then\n"
    pool.unmount(C1)
    pool.delete_volume(C1)
    assert not pool.has_snapshot(S1)


def test_a_snapshot_of_a_filled_volume_keeps_what_it_was(pool: StorageDriver) -> None:
    pool.fill_volume(C1, unpack)
    pool.create_snapshot(S1)
    inside(pool.mount(C1, MAP).path, "echo changed >etc/hostname")
    assert (pool.mount_snapshot(S1).path / "etc/hostname").read_text() == "image\n"


def test_filling_that_fails_leaves_nothing(pool: StorageDriver) -> None:
    def fails(target: Path) -> None:
        unpack(target)
        raise OSError(28, "No space left on device")

    def links(target: Path) -> None:
        (target / "rootfs").symlink_to("/etc")

    before = sorted(pool.layout.root.rglob("*"))
    for fill in (fails, links):
        with pytest.raises(Exception, match=r"no space is left|has no directory rootfs"):
            pool.fill_volume(C2, fill)
        with pytest.raises(Exception, match=r"no space is left|has no directory rootfs"):
            pool.fill_snapshot(Snapshot(C2, "s1"), fill)
    pool.layout.trash.wait()
    assert sorted(pool.layout.root.rglob("*")) == before


def test_filling_twice_changes_nothing(pool: StorageDriver) -> None:
    def never(_target: Path) -> None:
        raise Invalid("volume")

    pool.fill_volume(C1, unpack)
    pool.fill_volume(C1, never)
    pool.fill_snapshot(S1, unpack)
    pool.fill_snapshot(S1, never)
    assert pool.has_volume(C1)


def cut(pool: StorageDriver, target: Volume | Snapshot, like: Volume | Snapshot, line: str) -> None:
    """What comes is cut; a line more has been written to a file until then."""
    with pool.filling(target, like) as filling:
        root = filling.directory / "rootfs"
        with pool.opened(like) as opened:
            before = text(opened / "rootfs/came")
        (root / "came").write_text(before + line)
        raise PostponedError(PARTS)


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("target", [C1, S1])
def test_what_is_cut_waits_in_another_volume(pool: StorageDriver, target: Volume | Snapshot) -> None:
    """Twice; the volume stays what it is until all has come."""
    pool.fill_volume(C1, unpack)
    for number, like in enumerate((C1, PARTS)):
        cut(pool, target, like, f"{number}\n")
        with pool.opened(C1) as opened:
            assert (opened / "rootfs/etc/hostname").exists() and not (opened / "rootfs/came").exists()
        with pool.opened(PARTS) as opened:
            assert (opened / "rootfs/came").read_text() == "0\n1\n"[: 2 * number + 2]
        assert PARTS not in pool.volumes("containers")
        assert not pool.has_snapshot(S1)
    with pool.filling(target, PARTS) as filling, pool.opened(PARTS) as opened:
        came = text(opened / "rootfs/came")
        (filling.directory / "rootfs/came").write_text(came + "2\n")
    pool.delete_volume(PARTS)
    with pool.opened(target) as opened:
        assert (opened / "rootfs/came").read_text() == "0\n1\n2\n"
    pool.delete_volume(C1)
    pool.layout.trash.wait()
    assert pool.volumes("containers") == []
    if (layers := pool.layout.root / "layers").is_dir():
        assert list(layers.iterdir()) == []
