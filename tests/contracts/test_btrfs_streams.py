"""Streams of btrfs: what comes back of them, and what those that nobody of good will has made cannot do."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from lightervisor.errors import Failure, Invalid
from lightervisor.kernel import btrfs
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.idmap import IdMap, IdRange
from lightervisor.model.btrfs_header import BtrfsSubvolume
from lightervisor.storage import streams
from lightervisor.storage.driver import Snapshot
from lightervisor.storage.drivers.btrfs import Btrfs
from tests.contracts.storage_samples import C1, C2, MAP, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
OWN = BtrfsSubvolume(path="/", uuid="x")


@pytest.fixture
def pool(btrfs_pool: Btrfs) -> Btrfs:
    """A pool with a volume in which a guest has made subvolumes."""
    script = (
        "mkdir srv; btrfs -q subvolume create srv/one; btrfs -q subvolume create srv/one/two; echo 2 > srv/one/two/f"
    )
    inside(btrfs_pool.mount(C1, MAP).path, f"{script}; btrfs property set srv/one/two ro true")
    btrfs_pool.unmount(C1)
    return btrfs_pool


class Crafted:
    """A stream of orders. Source: btrfs, fs/btrfs/send.h: numbers of commands and attributes, version 1."""

    def __init__(self, name: str = "v", of: UUID | None = None) -> None:
        self.content = b"btrfs-stream\0" + struct.pack("<I", 1)
        own = ((15, name.encode()), (1, bytes(range(16)) if of is None else uuid4().bytes), (2, struct.pack("<Q", 7)))
        if of is None:
            self.add(1, *own)
        else:
            self.add(2, *own, (20, of.bytes), (21, struct.pack("<Q", 7)))

    def add(self, command: int, *attributes: tuple[int, bytes]) -> Crafted:
        """One order."""
        body = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in attributes)
        crc = _crc(struct.pack("<IHI", len(body), command, 0) + body)
        self.content += struct.pack("<IHI", len(body), command, crc) + body
        return self

    def file(self, path: str, text: bytes) -> Crafted:
        """A file and what is in it."""
        self.add(3, (15, path.encode()), (3, struct.pack("<Q", 300)))
        return self.add(15, (15, path.encode()), (18, struct.pack("<Q", 0)), (19, text))

    def link(self, path: str, to: str) -> Crafted:
        """A symbolic link."""
        return self.add(8, (15, path.encode()), (3, struct.pack("<Q", 301)), (17, to.encode()))

    def directory(self, path: str) -> Crafted:
        """A directory."""
        return self.add(4, (15, path.encode()), (3, struct.pack("<Q", 302)))

    def end(self, file: Path) -> int:
        """The whole of it, to be read."""
        file.write_bytes(self.add(21).content)
        return os.open(file, os.O_RDONLY)


def _crc(content: bytes) -> int:
    found = 0
    for byte in content:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ 0x82F63B78 * (found & 1)
    return found


def test_what_others_differ_from_is_found_by_both_its_numbers(pool: Btrfs, folder: Path) -> None:
    own, told = UUID(bytes=bytes(range(16))), uuid4()

    def received(stream: Crafted, known_as: UUID) -> Path:
        descriptor = stream.end(folder / "stream")
        try:
            return place.receive(descriptor, str(known_as))
        finally:
            os.close(descriptor)

    with streams.receiving(pool.layout, Watch()) as place:
        received(Crafted().file("a", b"1"), told)
        for number in (own, told):
            assert (received(Crafted(of=number).file("b", b"2"), own) / "a").read_text() == "1"
        with pytest.raises(Invalid, match="parent"):
            received(Crafted(of=uuid4()), own)
        with pytest.raises(Invalid, match="no number"):
            place.receive(Crafted().end(folder / "stream"), "../x")
    assert list(pool.layout.trash.directory.iterdir()) == []


def receive(pool: Btrfs, descriptor: int, idmap: IdMap | None = None) -> None:
    """Make C2 of a stream."""
    try:
        with streams.receiving(pool.layout, Watch()) as place:
            received = place.receive(descriptor)
            pool.adopt(C2, lambda made: streams.assembled({OWN: received}, made), idmap)
    finally:
        os.close(descriptor)


def test_a_snapshot_that_becomes_an_instance_can_be_written_to(pool: Btrfs) -> None:
    pool.create_snapshot(Snapshot(C1, "s1"))
    directory = pool.snapshot_path(Snapshot(C1, "s1"))
    assert [streams.described(directory, name)[0].readonly for name in ("s1", "")] == [True, False]


def test_a_volume_and_its_snapshots_go_and_come(pool: Btrfs, tmp_path: Path) -> None:
    pool.create_snapshot(Snapshot(C1, "s1"))
    inside(pool.mount(C1, MAP).path, "echo new > new; rm etc/hostname")
    watch, parent = Watch(), None
    with streams.receiving(pool.layout, watch) as place:
        for name, directory in (("s1", pool.snapshot_path(Snapshot(C1, "s1"))), ("", pool.volume_path(C1))):
            parts = streams.described(directory, name)
            assert [(part.path, part.readonly) for part in parts] == [
                ("/", name == "s1"), ("/rootfs/srv/one", False), ("/rootfs/srv/one/two", True),
            ]  # fmt: skip
            received: dict[BtrfsSubvolume, Path] = {}
            with streams.unchanging(pool.layout, directory) as copy:
                kept = tmp_path / name if name else None
                for number, part in enumerate(parts):
                    file = tmp_path / f"{name}-{number}"
                    with file.open("xb") as opened:
                        streams.send(copy, part, None, opened.fileno(), watch)
                    with file.open("rb") as opened:
                        received[part] = place.receive(opened.fileno())
            assert kept is None or not kept.exists()
            target = Snapshot(C2, name) if name else C2
            pool.adopt(target, lambda made, received=received: streams.assembled(received, made), None)
            parent = copy
    assert parent is not None
    assert not parent.exists()
    root = pool.mount(C2, MAP).path
    assert inside(root, "cat new srv/one/two/f; test -e etc/hostname || echo gone; touch srv/one/x") == "new\n2\ngone\n"
    assert inside(root, "touch srv/one/two/y 2>/dev/null || echo closed") == "closed\n"
    assert (pool.mount_snapshot(Snapshot(C2, "s1")).path / "etc/hostname").read_text() == "image\n"
    pool.layout.trash.wait()
    assert list(pool.layout.trash.directory.iterdir()) == []


def test_owners_of_a_map_become_plain(pool: Btrfs, tmp_path: Path) -> None:
    crafted = Crafted().directory("rootfs").file("rootfs/f", b"x")
    for path, owner in (("rootfs", 500_000), ("rootfs/f", 500_005)):
        ids = struct.pack("<Q", owner)
        crafted.add(19, (15, path.encode()), (6, ids), (7, ids))
    receive(pool, crafted.end(tmp_path / "stream"), IdMap((IdRange("both", 500_000, 0, 65536),)))
    assert (pool.mount(C2, None).path / "f").stat().st_uid == 5


def test_links_lead_nowhere(pool: Btrfs, tmp_path: Path) -> None:
    outside = pool.layout.root / "containers/c1/rootfs/etc/hostname"
    for path in ("out/etc/lv-attack", "out/../../etc/lv-attack", f"out{tmp_path}/file", f"out{outside}"):
        crafted = Crafted().directory("rootfs").link("out", "/").file(path, b"attacked")
        with pytest.raises(Invalid, match="Stream of btrfs"):
            receive(pool, crafted.end(tmp_path / "stream"))
    for path in ("../lv-attack", "../../lv-attack", "/etc/lv-attack"):
        crafted = Crafted().directory("rootfs").file(path, b"attacked")
        with pytest.raises(Invalid, match="Stream of btrfs"):
            receive(pool, crafted.end(tmp_path / "stream"))
    assert outside.read_text() == "image\n"
    assert not Path("/etc/lv-attack").exists()
    assert not pool.has_volume(C2)
    pool.layout.trash.wait()
    assert list(pool.layout.trash.directory.iterdir()) == []


def test_what_lies_beside_the_root_is_not_believed(pool: Btrfs, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    crafted = Crafted().directory("rootfs").link("mounted", f"{tmp_path}/kept").link("metadata.yaml", "/etc/shadow")
    crafted.directory("templates").link("templates/evil.tpl", "/etc/shadow").link("backup.yaml", f"{tmp_path}/kept")
    receive(pool, crafted.end(tmp_path / "stream"))
    assert sorted(one.name for one in pool.volume_path(C2).iterdir()) == ["mounted", "rootfs", "templates"]
    assert list((pool.volume_path(C2) / "templates").iterdir()) == []
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize("root", ["none", "link", "file"])
def test_a_root_that_is_none_is_refused(pool: Btrfs, tmp_path: Path, root: str) -> None:
    crafted = Crafted()
    if root != "none":
        crafted = crafted.link("rootfs", "/") if root == "link" else crafted.file("rootfs", b"")
    with pytest.raises(Invalid, match="no directory rootfs"):
        receive(pool, crafted.end(tmp_path / "stream"))


def test_other_subvolumes_of_the_pool_cannot_be_taken(pool: Btrfs, tmp_path: Path) -> None:
    """Though the number of one is known to who makes a stream that wants a snapshot of it."""
    pool.create_snapshot(Snapshot(C1, "s1"))
    with btrfs.opened(pool.snapshot_path(Snapshot(C1, "s1"))) as opened:
        uuid = btrfs.facts(opened).uuid.bytes
    crafted = Crafted()
    crafted.content = crafted.content[:17]
    number = struct.pack("<Q", 1)
    crafted.add(2, (15, b"v"), (1, bytes(16)), (2, number), (20, uuid), (21, number))
    with pytest.raises(Invalid, match="not reachable"):
        receive(pool, crafted.end(tmp_path / "stream"))
    assert not pool.has_volume(C2)


def test_what_is_no_stream_is_refused(pool: Btrfs, tmp_path: Path) -> None:
    (tmp_path / "stream").write_bytes(os.urandom(5000))
    with pytest.raises(Invalid, match="Stream of btrfs"):
        receive(pool, os.open(tmp_path / "stream", os.O_RDONLY))
    watch = Watch()
    watch.cancel()
    with streams.receiving(pool.layout, watch) as place, pytest.raises(Failure, match="cancelled"):
        place.receive(os.open(os.devnull, os.O_RDONLY))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [OWN, OWN],
        [BtrfsSubvolume(path="/x"), OWN],
        [OWN, BtrfsSubvolume(path="/../x")],
        [OWN, BtrfsSubvolume(path="/x/./y")],
        [OWN, BtrfsSubvolume(path="x")],
        [BtrfsSubvolume(path="/", snapshot="other"), OWN],
        [OWN, BtrfsSubvolume(path="/", snapshot="s1")],
    ],
)
def test_headers_that_do_not_fit_are_refused(parts: list[BtrfsSubvolume]) -> None:
    with pytest.raises(Invalid):
        streams.check(parts, ["s1"] if parts and parts[-1].snapshot else [])


def test_a_device_that_a_stream_makes_is_not_written_to(pool: Btrfs, tmp_path: Path) -> None:
    """`btrfs receive` opens what it is told to write to, whatever that is; here it is /dev/zero, which takes all."""
    crafted, mode = Crafted(), stat.S_IFCHR | 0o666
    crafted.add(5, (15, b"d"), (3, struct.pack("<Q", 310)), (5, struct.pack("<Q", mode)), (8, struct.pack("<Q", 0x105)))
    crafted.add(15, (15, b"d"), (18, struct.pack("<Q", 0)), (19, b"over"))
    with pytest.raises(Failure, match="Permission denied"):
        receive(pool, crafted.end(tmp_path / "stream"))
