"""Copies from one pool to another, from each storage driver to each, and volumes that are made anew."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lightervisor.errors import Failure, Unsupported
from lightervisor.kernel.copies import Watch
from lightervisor.storage import carrying
from lightervisor.storage.carrying import Goods, Place
from lightervisor.storage.driver import Snapshot, StorageDriver, storage_drivers
from lightervisor.storage.drivers import overlay
from lightervisor.storage.drivers.overlay import Overlay
from lightervisor.storage.plain import PlainDirectories
from tests.contracts.storage_samples import C1, C2, CAPABILITY, DRIVERS, MAP, inside, unpack
from tests.contracts.test_copies import write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1, S2 = Snapshot(C1, "s1"), Snapshot(C1, "s2")


@pytest.fixture(params=list(itertools.product(DRIVERS, DRIVERS)), ids=lambda pair: "-to-".join(pair))
def pools(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[StorageDriver, StorageDriver]]:
    """Two pools; the first has an image, img1."""
    made: list[StorageDriver] = []
    try:
        for name in request.param:
            storage_drivers()[name].probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    for number, name in enumerate(request.param):
        made.append(storage_drivers()[name](folder / f"storage-pools/p{number}", {}))
        made[-1].create()
    made[0].create_image("img1", unpack)
    yield made[0], made[1]
    for driver in made:
        for volume in driver.volumes("containers"):
            driver.delete_volume(volume)
        driver.delete()


def rest(pool: StorageDriver) -> None:
    """Nothing half made is left, and no layer that nothing is made of."""
    pool.layout.trash.wait()
    assert list(pool.layout.trash.directory.iterdir()) == []
    if isinstance(pool, Overlay):
        named = {layer for chain in pool._layers.chains().values() for layer in chain.layers()}
        assert {f"layers/{name}" for name in pool.layout.entries("layers")} == named


def test_everything_arrives(pools: tuple[StorageDriver, StorageDriver]) -> None:
    here, there = pools
    here.create_volume(C1, "img1")
    write(here, C1, "echo one > note; mkdir d; echo x > d/x; touch t; chown 5:6 t; chmod 4751 t")
    here.create_snapshot(S1)
    write(here, C1, "echo two > note; rm -r d etc/skel; mkfifo p; ln p q; truncate -s 1M hole; ln -s /proc new")
    here.create_snapshot(S2)
    write(here, C1, "echo three > note; rm -r home; mkdir home")
    carrying.copy(Goods(here, C1, ["s1", "s2"]), Place(there, C2))
    here.delete_volume(C1)
    assert there.snapshots(C2) == [Snapshot(C2, "s1"), Snapshot(C2, "s2")]
    root = there.mount(C2, None).path
    assert (root / "note").read_text() == "three\n"
    assert (root / "p").samefile(root / "q")
    assert (root / "hole").stat().st_blocks <= 1, "ZFS counts one for the file itself"
    assert (root / "bin/tool").stat().st_nlink == 2
    found = (root / "t").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (5, 6, 0o4751)
    assert os.getxattr(root / "bin/ping", "security.capability") == CAPABILITY
    assert root.stat().st_mode & 0o777 == 0o751
    assert (there.volume_path(C2) / "metadata.yaml").read_text() == "architecture: x86_64\n"
    there.unmount(C2)
    assert write(there, C2, "test ! -e d; ls home etc") == "etc:\nhostname\nmtab\n\nhome:\n"
    there.restore_snapshot(Snapshot(C2, "s1"), "mark")
    assert write(there, C2, "cat note d/x; test ! -e p; ls etc home") == (
        "one\nx\netc:\nhostname\nmtab\nskel\n\nhome:\nuser\n"
    )
    there.restore_snapshot(Snapshot(C2, "s2"), "mark")
    assert write(there, C2, "cat note; test -p p; test ! -e d; test -L new") == "two\n"
    rest(here)
    rest(there)


def test_a_snapshot_becomes_a_volume_elsewhere(pools: tuple[StorageDriver, StorageDriver]) -> None:
    here, there = pools
    here.create_volume(C1, "img1")
    write(here, C1, "echo one > note")
    here.create_snapshot(S1)
    write(here, C1, "echo two > note")
    carrying.copy(Goods(here, S1, []), Place(there, C2))
    assert write(there, C2, "cat note") == "one\n"
    assert write(here, C1, "cat note") == "two\n"
    rest(here)
    rest(there)


def test_what_is_in_use_is_held_still(pools: tuple[StorageDriver, StorageDriver]) -> None:
    here, there = pools
    here.create_volume(C1, "img1")
    root = here.mount(C1, MAP).path
    inside(root, "echo one > note; rm -r home")
    held: list[str] = []

    @contextmanager
    def still() -> Iterator[None]:
        held.append("held")
        yield
        held.append("let go")

    carrying.copy(Goods(here, C1, []), Place(there, C2), still)
    assert held == ["held", "let go"]
    inside(root, "echo two > note")
    assert write(there, C2, "cat note; test ! -e home") == "one\n"
    here.unmount(C1)
    rest(here)
    rest(there)


def test_a_copy_is_refreshed(pools: tuple[StorageDriver, StorageDriver]) -> None:
    here, there = pools
    here.create_volume(C1, "img1")
    write(here, C1, "echo one > note; mkdir -p a/b; echo x > a/b/x; echo same > same")
    carrying.copy(Goods(here, C1, []), Place(there, C2))
    there.create_snapshot(Snapshot(C2, "own"))
    write(there, C2, "echo changed > note; echo new > new; rm bin/ping")
    (there.volume_path(C2) / "metadata.yaml").write_text("changed")
    write(here, C1, "rm -r a; echo two > note; touch a; chmod 600 etc/hostname")
    identities: list[int] = []
    for _ in range(3):
        carrying.replace(Goods(here, C1, []), Place(there, C2))
        identities.append(there.volume_path(C2).stat().st_ino)
    assert identities[0] == identities[1] == identities[2]  # nothing had changed
    script = "cat note same; test -f a; test ! -e new; test -e bin/ping; stat -c %a etc/hostname"
    assert write(there, C2, script) == "two\nsame\n600\n"
    assert (there.volume_path(C2) / "metadata.yaml").read_text() == "architecture: x86_64\n"
    write(there, C2, "echo mine > same")
    assert write(here, C1, "cat same") == "same\n"
    there.restore_snapshot(Snapshot(C2, "own"), "mark")
    assert write(there, C2, "cat note a/b/x") == "one\nx\n"
    rest(here)
    rest(there)


def test_a_copy_is_refreshed_in_its_pool(pool: StorageDriver) -> None:
    pool.create_volume(C1, "img1")
    write(pool, C1, "echo one > note; echo same > same")
    pool.copy_volume(C1, C2)
    pool.create_snapshot(Snapshot(C2, "own"))
    write(pool, C2, "echo new > new; rm same")
    write(pool, C1, "echo two > note")
    for _ in range(2):
        carrying.replace(Goods(pool, C1, []), Place(pool, C2))
    assert write(pool, C2, "cat note same; test ! -e new; echo mine > same") == "two\nsame\n"
    assert write(pool, C1, "cat same") == "same\n"
    assert pool.snapshots(C2) == [Snapshot(C2, "own")]
    pool.restore_snapshot(Snapshot(C2, "own"), "mark")
    assert write(pool, C2, "cat note") == "one\n"
    rest(pool)


def test_what_lies_beside_the_root_comes_along(pools: tuple[StorageDriver, StorageDriver]) -> None:
    here, there = pools
    if not isinstance(here, PlainDirectories):
        pytest.skip("keeps nothing beside the root")
    here.create_volume(C1, "img1")
    write(here, C1, "mkdir var/lib/docker")
    kept = next(one for one in here.plain_directories(C1) if one.guest == "var/lib/docker")
    (kept.host / "store").write_text("x")
    carrying.copy(Goods(here, C1, []), Place(there, C2))
    if isinstance(there, PlainDirectories):
        found = {one.guest: one.host for one in there.plain_directories(C2)}
        assert (found["var/lib/docker"] / "store").read_text() == "x"
    else:
        assert write(there, C2, "cat var/lib/docker/store") == "x"


def test_a_copy_that_fails_leaves_what_was_there(pools: tuple[StorageDriver, StorageDriver]) -> None:
    here, there = pools
    here.create_volume(C1, "img1")
    carrying.copy(Goods(here, C1, []), Place(there, C2))
    write(there, C2, "echo kept > note")
    watch = Watch()
    watch.cancel()
    with pytest.raises(Failure, match="cancelled"):
        carrying.replace(Goods(here, C1, []), Place(there, C2), None, watch)
    assert write(there, C2, "cat note") == "kept\n"
    rest(here)
    rest(there)


def test_a_copy_is_refreshed_as_often_as_one_likes(
    pools: tuple[StorageDriver, StorageDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "HIGHEST", 4)
    here, there = pools
    here.create_volume(C1, "img1")
    carrying.copy(Goods(here, C1, []), Place(there, C2))
    for number in range(8):
        root = here.mount(C1, None).path
        (root / "note").write_text(str(number))
        here.unmount(C1)
        carrying.replace(Goods(here, C1, []), Place(there, C2))
    assert write(there, C2, "cat note; ls bin") == "7ping\nsame\ntool\n"
    for pool in pools:
        pool.layout.trash.wait()
        deepest = [len(json.loads(chain.read_text())["lowers"]) for chain in pool.layout.root.rglob("volume.json")]
        assert max(deepest, default=0) <= 6
    rest(here)
    rest(there)
