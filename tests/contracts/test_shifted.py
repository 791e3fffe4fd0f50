"""The driver `dir` where there are no id-mapped mounts: files have the owners of a map while a volume is in use."""

from __future__ import annotations

import errno
import itertools
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.kernel import owners
from lightervisor.kernel.idmap import IdMap, IdRange
from lightervisor.storage import shifted
from lightervisor.storage.driver import Snapshot, StorageDriver
from lightervisor.storage.drivers.dir import Dir
from tests.contracts.storage_samples import BASE, C1, C2, CAPABILITY, MAP, OTHER, inside, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1 = Snapshot(C1, "s1")


@pytest.fixture
def kind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> type[StorageDriver]:
    """The driver as it is in a container."""
    monkeypatch.setattr(shifted, "is_needed", lambda: True)
    Dir.probe(folder)
    return Dir


@pytest.fixture
def volume(pool: StorageDriver) -> Iterator[StorageDriver]:
    """A pool with a volume that is in use."""
    pool.create_volume(C1, "img1")
    pool.mount(C1, MAP)
    yield pool
    pool.unmount(C1)


def listing(root: Path) -> str:
    """Everything about a tree but its times."""
    script = r"find . -printf '%p %U %G %m %y %l\n' | sort; getfattr -Rhd -m - . 2>/dev/null || true"
    return subprocess.run(["sh", "-ec", script], cwd=root, capture_output=True, text=True, check=True).stdout


def rootfs(pool: StorageDriver) -> Path:
    return pool.volume_path(C1) / "rootfs"


def test_files_are_the_maps_while_it_is_in_use_and_plain_afterwards(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    before = listing(rootfs(pool))
    root = pool.mount(C1, MAP)
    assert (root.path, root.idmapped) == (rootfs(pool), True)
    assert (root.path / "home/user").stat().st_uid == BASE + 1000
    tool, ping = root.path / "bin/tool", root.path / "bin/ping"
    assert (tool.stat().st_uid, oct(tool.stat().st_mode)) == (BASE, "0o104755")
    assert os.getxattr(ping, "user.note") == b"kept"
    capability = os.getxattr(ping, "security.capability")
    assert struct.unpack_from("<I", capability)[0] >> 24 == 3
    assert struct.unpack_from("<I", capability, 20)[0] == BASE
    inside(root.path, "echo x > etc/new; chown 7:8 etc/new; stat -c %u bin/tool")
    pool.mount(C1, MAP)  # again: nothing is done twice
    assert (root.path / "etc/new").stat().st_uid == BASE + 7
    pool.unmount(C1)
    assert (root.path / "etc/new").stat().st_uid == 7
    assert os.getxattr(ping, "security.capability") == CAPABILITY
    (root.path / "etc/new").unlink()
    assert listing(rootfs(pool)) == before


def test_another_map_takes_the_place_of_one(volume: StorageDriver) -> None:
    root = volume.mount(C1, OTHER).path
    assert (root / "home/user").stat().st_uid == 2_001_000
    assert inside(root, "stat -c %u home/user", OTHER) == "1000\n"
    assert not volume.mount(C1, None).idmapped
    assert (root / "home/user").stat().st_uid == 1000


def test_snapshots_and_copies_of_one_in_use_are_plain(volume: StorageDriver) -> None:
    volume.create_snapshot(S1)
    volume.copy_volume(C1, C2)
    for place in (volume.snapshot_path(S1), volume.volume_path(C2)):
        assert (place / "rootfs/home/user").stat().st_uid == 1000
        assert (place / "rootfs/bin/tool").stat().st_mode & 0o7777 == 0o4755
        assert shifted.map_of(place) is None
    assert (rootfs(volume) / "home/user").stat().st_uid == BASE + 1000
    with pytest.raises(Unsupported, match="no id-mapped mounts"), volume.opened(C1):
        pass


@pytest.mark.parametrize("call", ["chown", "setxattr", "chmod"])
@pytest.mark.parametrize("is_done", [False, True])
def test_what_was_killed_in_the_middle_is_carried_out_when_it_is_looked_at(
    pool: StorageDriver, monkeypatch: pytest.MonkeyPatch, is_done: bool, call: str
) -> None:
    """At each chown, and between those and what they take away."""
    pool.create_volume(C1, "img1")
    before = listing(rootfs(pool))
    pool.mount(C1, MAP)
    during = listing(rootfs(pool))
    pool.unmount(C1)
    calls = 0
    for calls in itertools.count(1):
        if is_done:
            pool.mount(C1, MAP)
        with monkeypatch.context() as context:
            context.setattr(owners.os, call, _dying(getattr(os, call), calls))
            try:
                pool.unmount(C1) if is_done else shifted.shift(pool.volume_path(C1), MAP)
            except KeyboardInterrupt:
                assert listing(rootfs(pool)) != (before if is_done else during)
            else:
                break
        assert (shifted.map_of(pool.volume_path(C1)) is None) is is_done
        assert listing(rootfs(pool)) == (before if is_done else during)
        pool.unmount(C1)
        assert listing(rootfs(pool)) == before
    assert calls > 1


def _dying(call: Callable[..., None], at: int) -> Callable[..., None]:
    """A system call before which the daemon is killed at a time."""
    left = [at]

    def dying(*arguments: object, **options: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        call(*arguments, **options)

    return dying


def test_ids_that_are_inside_and_outside_of_a_large_map(pool: StorageDriver) -> None:
    """With more ids than its first one outside, an id alone does not tell which of both it is."""
    large = IdMap((IdRange("both", 1000, 0, 65536),))
    pool.create_volume(C1, "img1")
    before = listing(rootfs(pool))
    root = pool.mount(C1, large).path
    assert (root / "home/user").stat().st_uid == 2000
    for name, owner in (("a", 3000), ("b", 66000)):
        (root / name).touch()
        os.chown(root / name, owner, owner)
    assert pool.mount(C1, large).path.joinpath("home/user").stat().st_uid == 2000
    pool.unmount(C1)
    assert ((root / "a").stat().st_uid, (root / "b").stat().st_uid) == (2000, 65000)
    os.chown(root / "a", 66000, 70000)
    pool.mount(C1, large)
    assert ((root / "a").stat().st_uid, (root / "a").stat().st_gid) == (66534, 70000), "nobody's, and not 65000's"
    pool.unmount(C1)
    for name in "ab":
        (root / name).unlink()
    assert listing(rootfs(pool)) == before


def test_a_volume_in_use_is_rebuilt_and_deleted(volume: StorageDriver) -> None:
    volume.create_image("img2", unpack)
    volume.rebuild_volume(C1, "img2", "mark")
    assert shifted.map_of(volume.volume_path(C1)) is None
    volume.mount(C1, MAP)
    volume.delete_volume(C1)
    assert not volume.has_volume(C1)


def test_a_full_pool_does_not_keep_a_volume_from_going(pool: StorageDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.create_volume(C1, "img1")
    pool.mount(C1, MAP)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(shifted.files, "write_whole", full)
        pool.delete_volume(C1)
    pool.layout.trash.wait()
    assert not pool.has_volume(C1)
    assert list(pool.layout.trash.directory.iterdir()) == []
