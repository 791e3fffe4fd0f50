"""The layers of an overlay pool: how many there are, what becomes of them, and what a killed daemon leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightervisor.errors import HostError, Unsupported
from lightervisor.storage.driver import Snapshot, StorageDriver, storage_driver
from lightervisor.storage.drivers.overlay import HIGHEST
from tests.contracts.storage_samples import C1, C2, MAP, inside, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
S1, S2 = Snapshot(C1, "s1"), Snapshot(C1, "s2")


@pytest.fixture
def pool(folder: Path) -> Iterator[StorageDriver]:
    kind = storage_driver("overlay")
    try:
        kind.probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    driver = kind(folder / "p1", {})
    driver.create()
    driver.create_image("img1", unpack)
    driver.create_volume(C1, "img1")
    yield driver
    for volume in driver.volumes("containers"):
        driver.delete_volume(volume)
    driver.delete()


def layers(pool: StorageDriver) -> set[str]:
    pool.layout.trash.wait()
    return {place.name for place in (pool.layout.root / "layers").iterdir()}


def write(pool: StorageDriver, text: str) -> None:
    inside(pool.mount(C1, MAP).path, f"echo {text} > note")
    pool.unmount(C1)


def lowers(directory: Path) -> list[str]:
    return json.loads((directory / "volume.json").read_text())["lowers"]


def test_a_snapshot_of_what_was_not_written_to_needs_no_layer(pool: StorageDriver) -> None:
    before = layers(pool)
    pool.create_snapshot(S1)
    pool.mount(C1, MAP)
    pool.unmount(C1)
    pool.create_snapshot(S2)
    assert layers(pool) == before
    write(pool, "one")
    pool.create_snapshot(Snapshot(C1, "s3"))
    assert len(layers(pool)) == 2


def test_a_change_of_the_root_directory_alone_is_kept(pool: StorageDriver) -> None:
    pool.create_snapshot(S1)
    inside(pool.mount(C1, MAP).path, "chmod 700 .")
    pool.unmount(C1)
    pool.create_snapshot(S2)
    inside(pool.mount(C1, MAP).path, "chmod 755 .")
    pool.unmount(C1)
    for snapshot, mode in ((S1, 0o751), (S2, 0o700)):
        assert pool.mount_snapshot(snapshot).path.stat().st_mode & 0o777 == mode
        pool.unmount_snapshot(snapshot)
    assert pool.mount(C1, MAP).path.stat().st_mode & 0o777 == 0o755


def test_layers_go_with_the_last_that_is_made_of_them(pool: StorageDriver) -> None:
    write(pool, "one")
    pool.create_snapshot(S1)
    write(pool, "two")
    pool.create_snapshot(S2)
    assert len(layers(pool)) == 3
    pool.delete_snapshot(S1)
    pool.delete_snapshot(S2)
    pool.layout.trash.wait()
    assert len(layers(pool)) == 2, "the volume's own, and one for what it lies on"
    assert inside(pool.mount(C1, MAP).path, "cat note") == "two\n"
    pool.delete_volume(C1)
    assert layers(pool) == set()


def test_a_restore_frees_what_was_written_since(pool: StorageDriver) -> None:
    write(pool, "one")
    pool.create_snapshot(S1)
    write(pool, "two")
    pool.create_snapshot(S2)
    pool.delete_snapshot(S2)
    pool.restore_snapshot(S1, "mark")
    assert len(layers(pool)) == 2
    assert inside(pool.mount(C1, MAP).path, "cat note") == "one\n"


def test_a_chain_does_not_grow_without_end(pool: StorageDriver) -> None:
    snapshots = [Snapshot(C1, f"n{number}") for number in range(HIGHEST + 5)]
    for number, snapshot in enumerate(snapshots):
        write(pool, str(number))
        pool.create_snapshot(snapshot)
    assert len(lowers(pool.volume_path(C1))) == HIGHEST
    for number in (0, HIGHEST - 2, HIGHEST - 1, HIGHEST, HIGHEST + 4):
        root = pool.mount_snapshot(snapshots[number]).path
        assert (root / "note").read_text() == f"{number}\n"
        pool.unmount_snapshot(snapshots[number])
    pool.restore_snapshot(snapshots[HIGHEST + 2], "mark")
    assert inside(pool.mount(C1, MAP).path, "cat note") == f"{HIGHEST + 2}\n"


def test_what_nobody_names_goes_at_the_start(pool: StorageDriver) -> None:
    kept = layers(pool)
    (pool.layout.root / "layers/0123456789abcdef/upper").mkdir(parents=True)
    (pool.layout.root / "containers-snapshots/nobody").mkdir()
    pool.create()
    assert layers(pool) == kept
    assert list((pool.layout.root / "containers-snapshots").iterdir()) == []


def test_nothing_goes_while_one_description_cannot_be_read(pool: StorageDriver) -> None:
    write(pool, "one")
    pool.create_snapshot(S1)
    pool.create_volume(C2, "img1")
    broken = pool.volume_path(C2) / "volume.json"
    said = broken.read_bytes()
    broken.write_bytes(b"{")
    before = layers(pool)
    pool.create()
    pool.delete_snapshot(S1)
    assert layers(pool) == before
    with pytest.raises(HostError, match=r"volume\.json"):
        pool.create_snapshot(Snapshot(C2, "s1"))
    broken.write_bytes(said)
    assert inside(pool.mount(C1, MAP).path, "cat note") == "one\n"


def test_no_attribute_of_overlayfs_is_given_to_a_new_layer(pool: StorageDriver) -> None:
    write(pool, "one")
    for number in range(3):
        pool.create_snapshot(Snapshot(C1, f"s{number}"))
        write(pool, str(number))
    for chain in (json.loads((pool.volume_path(C1) / "volume.json").read_text()),):
        top = pool.layout.root / chain["top"] / "upper"
        assert "trusted.overlay.opaque" not in os.listxattr(top)
    pool.unmount(C1)
    pool.create_snapshot(Snapshot(C1, "last"))
    fresh = pool.layout.root / json.loads((pool.volume_path(C1) / "volume.json").read_text())["top"] / "upper"
    assert [name for name in os.listxattr(fresh) if name.startswith("trusted.overlay.")] == []
