"""Layers that only lie between others are merged: what is seen stays the same, and chains grow short again."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from lightervisor.errors import Unsupported
from lightervisor.kernel import mounts
from lightervisor.storage import flattening, layers, merging
from lightervisor.storage.driver import Snapshot
from lightervisor.storage.drivers.overlay import Overlay
from tests.contracts.storage_samples import C1, C2, MAP, inside, unpack

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def pool(folder: Path) -> Overlay:
    """A pool with one image, img1, and a volume C1 of it."""
    try:
        Overlay.probe(folder)
    except Unsupported as refusal:
        pytest.skip(refusal.message())
    made = Overlay(folder / "pool", {})
    made.create()
    made.create_image("img1", unpack)
    made.create_volume(C1, "img1")
    return made


def lowers(pool: Overlay, directory: Path) -> list[str]:
    return pool._layers.read(directory).lowers


def write(pool: Overlay, script: str) -> None:
    inside(pool.mount(C1, MAP).path, script)
    pool.unmount(C1)


def seen(root: Path) -> str:
    """Everything that can be seen of a tree but numbers of inodes and sizes of directories."""
    words = ["find", ".", "-printf", "%p %y %m %U %G %T@ %l\n"]
    found = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout
    more = "find . -type f -exec md5sum {} +; getfattr -h -R -d -m '^user|^security|^system' ."
    content = subprocess.run(["sh", "-c", more], cwd=root, capture_output=True, text=True, check=True).stdout
    return "\n".join(sorted(found.splitlines() + content.splitlines()))


def looks(pool: Overlay) -> dict[str, str]:
    """What is seen of the volume and of each snapshot."""
    found = {"": seen(pool.mount(C1, None).path)}
    pool.unmount(C1)
    for snapshot in pool.snapshots(C1):
        found[snapshot.name] = seen(pool.mount_snapshot(snapshot).path)
        pool.unmount_snapshot(snapshot)
    return found


def settled(pool: Overlay) -> None:
    pool.layout.trash.wait()


def layers_of(pool: Overlay) -> list[str]:
    return pool.layout.entries("layers")


def test_layers_of_deleted_snapshots_become_one(pool: Overlay) -> None:
    for number in range(6):
        write(pool, f"echo {number} > etc/hostname; echo {number} > n{number}; rm -f n{number - 2}")
        pool.create_snapshot(Snapshot(C1, f"s{number}"))
    before = looks(pool)
    assert len(lowers(pool, pool.volume_path(C1))) == 7
    for number in (0, 1, 3, 4):
        pool.delete_snapshot(Snapshot(C1, f"s{number}"))
        settled(pool)
    assert len(lowers(pool, pool.volume_path(C1))) == 3
    assert len(layers_of(pool)) == 3, "the volume's own, and one for each snapshot"
    after = looks(pool)
    assert after == {name: before[name] for name in ("", "s2", "s5")}
    assert pool.snapshot_size(Snapshot(C1, "s2")) is not None


def test_the_disk_is_freed(pool: Overlay) -> None:
    for number in range(3):
        write(pool, f"head -c 3000000 /dev/urandom > large; echo {number} > n")
        pool.create_snapshot(Snapshot(C1, f"s{number}"))
    for number in (0, 1):
        pool.delete_snapshot(Snapshot(C1, f"s{number}"))
    settled(pool)
    taken = subprocess.run(["du", "-sb", pool.layout.root / "layers"], capture_output=True, text=True, check=True)
    assert int(taken.stdout.split()[0]) < 4_000_000


def test_what_hides_and_what_shows(pool: Overlay) -> None:
    """Each line is written in a layer of its own, which is merged with the next."""
    for number, script in enumerate(
        (
            "rm -r etc/skel; mkdir d; echo 1 > d/one; echo 2 > d/two; ln d/one d/same; chmod 700 d",
            "mkdir etc/skel; echo new > etc/skel/new; rm d/one; mkfifo d/pipe; chown 5:6 d; setfattr -n user.x -v 1 d",
            "rm -r d; echo file > d; rm bin/tool; mkdir bin/tool; echo in > bin/tool/in; ln -s /etc/passwd link",
            "rm d; mkdir d; echo again > d/one; rm -r bin/tool home; rm link; ln -s other link; touch -d 2001-1-1 var",
            "rm -r etc/skel; echo file > etc/skel; mkdir home; mkdir home/user; rm var/pipe; mkdir -p var/pipe/deep",
            "rm etc/skel; rm -r var/pipe; mkdir var/pipe; echo x > etc/hostname; rm etc/mtab",
        )
    ):
        write(pool, script)
        pool.create_snapshot(Snapshot(C1, f"s{number}"))
    before = looks(pool)
    for number in (0, 2, 1, 3, 4):
        pool.delete_snapshot(Snapshot(C1, f"s{number}"))
        settled(pool)
        assert looks(pool) == {name: before[name] for name in looks(pool)}
    assert len(lowers(pool, pool.volume_path(C1))) == 2


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done(pool: Overlay, seed: int) -> None:
    """Random changes, snapshots and deletions; what is seen of all that is left never changes."""
    chance = random.Random(seed)
    names = [
        f"{folder}{name}" for folder in ("", "etc/", "home/", "home/user/", "a/", "a/b/", "var/") for name in "abc"
    ]
    expected: dict[str, str] = {}
    for number in range(8):
        lines: list[str] = []
        for _ in range(12):
            one, other = chance.choice(names), chance.choice(names)
            lines.append(
                "{ "
                + chance.choice(
                    (
                        f"rm -rf {one}",
                        f"mkdir -p {one}",
                        f"echo {chance.random()} > {one}",
                        f"rm -rf {one}; mkdir -p {one}; echo x > {one}/x",
                        f"ln {one} {other}",
                        f"mv -T {one} {other}" if chance.random() < 0.1 else f"chmod 75{chance.randrange(8)} {one}",
                        f"rm -rf {one.partition('/')[0]}",
                        f"ln -sfn {one} {other}",
                    )
                )
                + "; } 2>/dev/null || :"
            )
        write(pool, "\n".join(lines))
        pool.create_snapshot(Snapshot(C1, f"s{number}"))
        expected = looks(pool)
        if chance.random() < 0.7:
            gone = chance.choice(pool.snapshots(C1))
            pool.delete_snapshot(gone)
            settled(pool)
            del expected[gone.name]
            assert looks(pool) == expected
    known = {lower for one in pool._layers.chains().values() for lower in one.layers()}
    settled(pool)
    assert {f"layers/{name}" for name in layers_of(pool)} == known


def test_what_is_mounted_keeps_its_layers_until_it_is_let_go(pool: Overlay) -> None:
    for number in range(3):
        write(pool, f"echo {number} > n{number}")
        pool.create_snapshot(Snapshot(C1, f"s{number}"))
    root = pool.mount(C1, MAP).path
    for number in range(3):
        pool.delete_snapshot(Snapshot(C1, f"s{number}"))
    settled(pool)
    assert len(lowers(pool, pool.volume_path(C1))) == 4
    assert inside(root, "cat n0 n1 n2") == "0\n1\n2\n"
    pool.unmount(C1)
    settled(pool)
    assert len(lowers(pool, pool.volume_path(C1))) == 2
    assert inside(pool.mount(C1, MAP).path, "cat n0 n1 n2; ls").startswith("0\n1\n2\n")
    assert mounts.is_mountpoint(root)
    pool.unmount(C1)


def test_copies_keep_what_they_share(pool: Overlay) -> None:
    for number in range(3):
        write(pool, f"echo {number} > n{number}")
        pool.create_snapshot(Snapshot(C1, f"s{number}"))
    pool.copy_volume(Snapshot(C1, "s0"), C2)
    for number in range(3):
        pool.delete_snapshot(Snapshot(C1, f"s{number}"))
    settled(pool)
    assert inside(pool.mount(C2, MAP).path, "cat n0; test ! -e n1") == "0\n"
    assert inside(pool.mount(C1, MAP).path, "cat n0 n1 n2") == "0\n1\n2\n"
    assert len(lowers(pool, pool.volume_path(C1))) == 3, "the layer below has two users"
    pool.unmount(C1)
    pool.delete_volume(C2)


@pytest.mark.parametrize("kind", ["rebuild", "replace"])
def test_what_is_replaced_meanwhile_leaves_no_layer(pool: Overlay, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Layers are merged just when it has been read what goes."""
    pool.create_volume(C2, "img1")
    with monkeypatch.context() as later:
        later.setattr(flattening.Flattening, "begin", lambda _: None)
        for number in range(3):
            write(pool, f"echo {number} > n{number}")
            pool.create_snapshot(Snapshot(C1, f"s{number}"))
        for number in range(3):
            pool.delete_snapshot(Snapshot(C1, f"s{number}"))
    read, is_due = pool._layers.read, [True]

    def read_and_merge(directory: Path) -> layers.Chain:
        chain = read(directory)
        if is_due:
            is_due.clear()
            pool._flattening.run()
        return chain

    monkeypatch.setattr(pool._layers, "read", read_and_merge)
    if kind == "rebuild":
        pool.rebuild_volume(C1, "img1", "mark")
    else:
        pool.replace_volume(C2, C1)
    settled(pool)
    known = {lower for one in pool._layers.chains().values() for lower in one.layers()}
    assert {f"layers/{name}" for name in layers_of(pool)} == known


def test_a_killed_daemon_leaves_some_told(pool: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        write(pool, f"echo {number} > n{number}; echo {number} > n")
        pool.create_snapshot(Snapshot(C1, f"s{number}"))
    before, write_chain, left = looks(pool), pool._layers.write, [1]

    class Killed(BaseException):
        """As good as SIGKILL: nothing is caught."""

    def write_few(directory: Path, chain: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        write_chain(directory, chain)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(flattening.Flattening, "begin", lambda _: None)
    pool.delete_snapshot(Snapshot(C1, "s1"))
    settled(pool)
    with monkeypatch.context() as dying:
        dying.setattr(pool._layers, "write", write_few)
        dying.setattr(pool.layout.trash, "discard", lambda _: None)
        with pytest.raises(Killed):
            pool._flattening.run()
    monkeypatch.undo()
    told = [
        len(lowers(pool, one)) for one in (pool.volume_path(C1), *(pool.snapshot_path(s) for s in pool.snapshots(C1)))
    ]
    print(told)
    again = Overlay(pool.layout.root, {})
    again.create()
    settled(again)
    assert looks(again) == {name: text for name, text in before.items() if name != "s1"}
    assert len(lowers(again, again.volume_path(C1))) == 4
    known = {lower for one in again._layers.chains().values() for lower in one.layers()}
    assert {f"layers/{name}" for name in layers_of(again)} == known


def test_a_renamed_directory_keeps_its_layers_apart(pool: Overlay) -> None:
    write(pool, "mkdir d; echo x > d/x")
    pool.create_snapshot(Snapshot(C1, "s0"))
    write(pool, "mv etc/skel moved; mv d e; echo y > e/y")
    pool.create_snapshot(Snapshot(C1, "s1"))
    before = looks(pool)
    pool.delete_snapshot(Snapshot(C1, "s0"))
    settled(pool)
    assert looks(pool) == {name: before[name] for name in ("", "s1")}
    assert len(lowers(pool, pool.volume_path(C1))) == 3
    upper, lower, _ = (pool.layout.root / one for one in lowers(pool, pool.volume_path(C1)))
    with pytest.raises(merging.Renamed):
        merging.merge(upper, lower, None, pool.layout.trash.new() / "upper")
