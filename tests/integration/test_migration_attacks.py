"""Other servers that are not what they say: as sources that push to ours, and as targets that it sends to.

Attack 44 of the list: each fails with a reason that names it, nothing of it stays, and our own files are untouched.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from lightervisor.client.websockets import Dialled
from lightervisor.migration.flow import END
from lightervisor.migration.frames import Control, FilesBy, Header, MemoryBy, Pair, Range, RsyncFeatures, Snapshot
from lightervisor.migration.rsync import SOURCE, offered, sending
from lightervisor.migration.talk import Talk
from tests.conftest import home
from tests.harness import images
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon

Peer = Callable[[Talk], Awaitable[None]]
ALL = offered({})
OFFER = Header(files_by=FilesBy.RSYNC, rsync=ALL)


@asynccontextmanager
async def talking(daemon: Daemon, operation: dict[str, Any]) -> AsyncIterator[Talk]:
    """Both websockets of an operation, opened by somebody who has its secrets."""
    connector = aiohttp.UnixConnector(str(daemon.state / "unix.socket"))
    async with aiohttp.ClientSession(connector=connector) as session:
        base = f"http://lxd/1.0/operations/{operation['id']}/websocket"
        found = [
            Dialled(await session.ws_connect(base, params={"secret": operation["metadata"][name]}, max_msg_size=0))
            for name in ("control", "fs")
        ]
        talk = Talk(found[0], found[1], 30)
        try:
            yield talk
        finally:
            await talk.close()


def play(daemon: Daemon, operation: dict[str, Any], peer: Peer) -> dict[str, Any]:
    """Be the other side of an operation; how it ended."""

    async def both() -> None:
        async with talking(daemon, operation) as talk:
            await peer(talk)

    asyncio.run(both())
    return daemon.request("GET", f"/1.0/operations/{operation['id']}/wait?timeout=30").metadata


def pushed(daemon: Daemon, name: str, peer: Peer, **source: object) -> dict[str, Any]:
    """Push an instance to our daemon as this peer does; how the operation ended."""
    body = {"name": name, "source": {"type": "migration", "mode": "push", **source}}
    return play(daemon, daemon.request("POST", "/1.0/instances", body).metadata, peer)


def nothing_stays(daemon: Daemon, name: str) -> None:
    assert name not in daemon.instance_names()
    assert [str(one) for one in daemon.state.rglob(f"containers*/{name}*")] == []


async def answered(talk: Talk) -> None:
    """Wait until the daemon has given up, or has all."""
    talk.agreed(0)
    await talk.ended()


def saying(*frames: bytes | str) -> Peer:
    """A peer that says this on `control` and then listens."""

    async def peer(talk: Talk) -> None:
        for frame in frames:
            await talk.control.send(frame)
        await answered(talk)

    return peer


SNAPSHOTS: Sequence[tuple[str, tuple[str, ...]]] = [
    ("cannot be the name of a directory", ("..",)),
    ('Cannot contain "/"', ("../../etc",)),
    ("offers a snapshot twice", ("one", "one")),
    ("No name provided", ("",)),
]


@pytest.mark.parametrize(("cause", "names"), SNAPSHOTS)
def test_snapshots_that_cannot_be_are_refused(daemon: Daemon, name: str, cause: str, names: tuple[str, ...]) -> None:
    offer = Header(
        files_by=FilesBy.RSYNC, rsync=ALL, snapshot_names=names, snapshots=tuple(Snapshot(name=one) for one in names)
    )
    ended = pushed(daemon, name, saying(offer.encode()))
    assert ended["status"] == "Failure"
    assert cause in ended["err"]
    nothing_stays(daemon, name)


def test_a_snapshot_that_no_instance_could_become_is_refused(daemon: Daemon, name: str) -> None:
    config = (Pair(key="security.no_such", value="true"), Pair(key="volatile.of_a_later_lxd", value="x"))
    snapshots = (Snapshot(name="s1", config=config),)
    offer = Header(files_by=FilesBy.RSYNC, rsync=ALL, snapshot_names=("s1",), snapshots=snapshots)
    ended = pushed(daemon, name, saying(offer.encode()))
    assert ended["err"].startswith("Snapshot s1: Invalid config: Unknown configuration key: security.no_such")
    nothing_stays(daemon, name)


@pytest.mark.parametrize(
    ("cause", "frame"),
    [
        ("ends in the middle", b"\x08\x00\x42\x7f"),
        ("files_by is missing", b""),
        ("Only binary messages allowed", "hello"),
        ("names other snapshots", Header(files_by=0, rsync=ALL, snapshot_names=("a",)).encode()),
        ("in memory cannot be received", Header(files_by=0, rsync=ALL, memory_by=MemoryBy.CRIU).encode()),
        ("No matching migration types", Header(files_by=FilesBy.ZFS).encode()),
        (
            "is no map",
            Header(files_by=0, rsync=ALL, idmap=(Range(is_uid=True, is_gid=True, host=-1, guest=0, count=5),)).encode(),
        ),
        (
            "is no map",
            Header(
                files_by=0, rsync=ALL, idmap=(Range(is_uid=False, is_gid=False, host=1, guest=0, count=5),)
            ).encode(),
        ),
    ],
)
def test_headers_that_are_none_are_refused(daemon: Daemon, name: str, cause: str, frame: bytes | str) -> None:
    ended = pushed(daemon, name, saying(frame))
    assert ended["status"] == "Failure"
    assert cause in ended["err"], ended["err"]
    nothing_stays(daemon, name)


def sender(tree: Path, *, cut_at: int | None = None, offer: Header = OFFER) -> Peer:
    """A source with this tree in the place of an instance's; with `cut_at` it goes after so many bytes."""

    async def peer(talk: Talk) -> None:
        await talk.control.tell(offer)
        answer = await talk.control.message(Header)
        assert answer.rsync == ALL
        talk.agreed(0)
        if cut_at is not None:
            await talk.fs.send(b"\x20\x00\x00\x00"[:cut_at])
            return
        async with sending({tree: SOURCE}, ALL) as rsync:
            await talk.unless_ended(talk.fs.carry(rsync, lambda _: None))
        await talk.ended()

    return peer


def quietly(peer: Peer) -> Peer:
    """The same; that it fails is for the other side to tell."""

    async def tolerant(talk: Talk) -> None:
        try:
            await peer(talk)
        except Exception:  # noqa: BLE001 - whatever it is that our daemon made of it
            return

    return tolerant


@pytest.mark.parametrize("shape", ["link", "file", "fifo"])
def test_something_else_in_the_place_of_the_root_directory_is_refused(
    daemon: Daemon, name: str, tmp_path: Path, shape: str
) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()
    if shape == "link":
        (tree / "rootfs").symlink_to(outside)
    elif shape == "file":
        (tree / "rootfs").write_text("no directory")
    else:
        os.mkfifo(tree / "rootfs")
    ended = pushed(daemon, name, quietly(sender(tree)))
    assert ended["status"] == "Failure", ended
    assert list(outside.iterdir()) == []
    nothing_stays(daemon, name)


def test_what_describes_volumes_here_cannot_be_sent(daemon: Daemon, name: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "rootfs/etc").mkdir(parents=True)
    (tree / "rootfs/etc/note").write_text("sent")
    (tree / "rootfs/etc/away").symlink_to("/../../../../etc/shadow")
    (tree / "volume.json").write_text('{"version": 2, "top": "layers/../../../..", "lowers": []}')
    (tree / "backup.yaml").write_text("container: nobody")
    (tree / "metadata.yaml").symlink_to("/etc/shadow")
    (tree / "templates").symlink_to("/etc")
    ended = pushed(daemon, name, sender(tree))
    assert ended["status"] == "Success", ended
    directory = daemon.state / "storage-pools/default/containers" / name
    assert "../.." not in (directory / "volume.json").read_text()
    assert name in (directory / "backup.yaml").read_text()
    assert not (directory / "metadata.yaml").exists()
    assert not (directory / "templates").exists()
    pulled = daemon.request("GET", f"/1.0/instances/{name}/files?path=/etc/note")
    assert pulled.body == b"sent"


def test_owners_of_an_older_source_become_plain(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """LXD on a kernel without id-mapped mounts keeps files with the host's ids, and says which map that is."""
    tree = tmp_path / "tree"
    (tree / "rootfs").mkdir(parents=True)
    for file, owner in (("root", 1_000_000), ("user", 1_001_000), ("nobody", 7)):
        (tree / "rootfs" / file).write_text(file)
        os.chown(tree / "rootfs" / file, owner, owner)
    (tree / "rootfs/user").chmod(0o4755)
    os.chown(tree / "rootfs", 1_000_000, 1_000_000)
    idmap = (Range(is_uid=True, is_gid=True, host=1_000_000, guest=0, count=65536),)
    ended = pushed(daemon, name, sender(tree, offer=Header(files_by=FilesBy.RSYNC, rsync=ALL, idmap=idmap)))
    assert ended["status"] == "Success", ended
    chain = msgspec.json.decode((daemon.state / "storage-pools/default/containers" / name / "volume.json").read_bytes())
    layer = daemon.state / "storage-pools/default" / chain["top"] / "upper"
    for file, owner, mode in (("root", 0, 0o644), ("user", 1000, 0o4755), ("nobody", 65534, 0o644), (".", 0, 0o755)):
        found = (layer / file).stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (owner, owner, mode)


def test_a_source_that_goes_in_the_middle_leaves_nothing(daemon: Daemon, name: str, tmp_path: Path) -> None:
    ended = pushed(daemon, name, quietly(sender(tmp_path, cut_at=4)))
    assert ended["status"] == "Failure"
    assert "the other server has closed the connection" in ended["err"] or "rsync" in ended["err"]
    nothing_stays(daemon, name)


def test_bytes_that_are_no_rsync_are_refused(daemon: Daemon, name: str) -> None:
    async def peer(talk: Talk) -> None:
        await talk.control.tell(OFFER)
        await talk.control.message(Header)
        talk.agreed(0)
        await talk.fs.send(b"\x1f\x00\x00\x00" + b"\xff" * 5000)
        await talk.fs.send(END)
        await talk.ended()

    ended = pushed(daemon, name, quietly(peer))
    assert ended["status"] == "Failure"
    assert "rsync" in ended["err"].lower()
    nothing_stays(daemon, name)


def test_a_source_that_tells_why_it_gives_up_is_quoted(daemon: Daemon, name: str) -> None:
    async def peer(talk: Talk) -> None:
        await talk.control.tell(OFFER)
        await talk.control.message(Header)
        await talk.control.tell(Control(success=False, message="the disk\x1b[31m is\nbroken"))
        await asyncio.sleep(0.5)  # before the websockets close: what was said is to be read, not that they are gone

    ended = pushed(daemon, name, peer)
    assert ended["err"] == "the disk?[31m is broken"
    nothing_stays(daemon, name)


def test_nobody_comes(daemon: Daemon, name: str) -> None:
    body = {"name": name, "source": {"type": "migration", "mode": "push"}}
    operation = daemon.request("POST", "/1.0/instances", body).metadata
    ended = daemon.request("GET", f"/1.0/operations/{operation['id']}/wait?timeout=30").metadata
    assert ended["err"] == "Timed out waiting for websockets to connect"
    nothing_stays(daemon, name)


# As a target


@pytest.fixture
def instance(daemon: Daemon, image: str, name: str) -> str:
    """A stopped one, with a snapshot."""
    source = {"type": "image", "alias": image}
    made = daemon.operation("POST", "/1.0/instances", {"name": name, "source": source})
    assert made["status"] == "Success", made
    assert daemon.operation("POST", f"/1.0/instances/{name}/snapshots", {"name": "s1"})["status"] == "Success"
    return name


def sent(daemon: Daemon, name: str, peer: Peer) -> dict[str, Any]:
    """Have our daemon send an instance to this peer; how the operation ended."""
    operation = daemon.request("POST", f"/1.0/instances/{name}", {"name": name, "migration": True}).metadata
    return play(daemon, operation, peer)


@pytest.mark.parametrize(
    ("cause", "answer"),
    [
        ("a snapshot 's2' that is not there", Header(files_by=0, rsync=ALL, refresh=True, snapshot_names=("s1", "s2"))),
        ("No matching migration types", Header(files_by=FilesBy.BTRFS, rsync=ALL)),
    ],
)
def test_a_target_that_wants_what_is_not_there_gets_nothing(
    daemon: Daemon, instance: str, cause: str, answer: Header
) -> None:
    async def peer(talk: Talk) -> None:
        offer = await talk.control.message(Header)
        assert offer.snapshot_names == ("s1",)
        await talk.control.tell(answer)
        talk.agreed(0)
        await talk.ended()

    ended = sent(daemon, instance, peer)
    assert cause in ended["err"], ended
    start = {"action": "start", "timeout": 30}
    assert daemon.operation("PUT", f"/1.0/instances/{instance}/state", start)["status"] == "Success"


def test_a_target_that_goes_leaves_the_source_as_it_was(daemon: Daemon, instance: str) -> None:
    async def peer(talk: Talk) -> None:
        await talk.control.message(Header)
        await talk.control.tell(Header(files_by=0, rsync=RsyncFeatures(bidirectional=True)))

    ended = sent(daemon, instance, peer)
    assert ended["status"] == "Failure"
    start = {"action": "start", "timeout": 30}
    assert daemon.operation("PUT", f"/1.0/instances/{instance}/state", start)["status"] == "Success"


def test_a_hundred_and_fifty_snapshots_are_described_in_one_message(daemon: Daemon, name: str) -> None:
    config = tuple(Pair(key=f"user.{number}", value="x" * 100) for number in range(10))
    names = tuple(f"snap{number}" for number in range(150))
    snapshots = tuple(Snapshot(name=one, config=config) for one in names)
    offer = Header(files_by=FilesBy.RSYNC, rsync=ALL, snapshot_names=names, snapshots=snapshots).encode()
    assert len(offer) > 1 << 16
    taken: list[Header] = []

    async def peer(talk: Talk) -> None:
        await talk.control.send(offer)
        taken.append(await talk.control.message(Header))
        await talk.control.tell(Control(success=False, message="this was all"))

    assert pushed(daemon, name, peer)["err"] == "this was all"
    assert taken[0].snapshot_names == names
    nothing_stays(daemon, name)


def test_one_that_was_being_sent_at_a_crash_can_be_recovered(fresh_daemon: Daemon, tmp_path: Path) -> None:
    lxc = Lxc(OURS, fresh_daemon.env, home(tmp_path / "home"))
    lxc("image", "import", images.unified(tmp_path / "image.tar.gz"), "--alias", "box").ok()
    lxc("launch", "box", "c1").ok()
    request = {"name": "c1", "migration": True, "live": False}
    operation = fresh_daemon.request("POST", "/1.0/instances/c1", request).metadata

    async def interrupted() -> None:
        async with talking(fresh_daemon, operation) as talk:
            await talk.control.message(Header)
            await talk.control.tell(Header(files_by=FilesBy.RSYNC, rsync=ALL))
            assert await talk.fs.receive()  # rsync speaks: the files of this moment are there
            fresh_daemon.kill()

    asyncio.run(interrupted())
    shutil.rmtree(fresh_daemon.state / "database")
    fresh_daemon.start()
    recovered = fresh_daemon.run("recover", "--auto").ok()
    assert fresh_daemon.instance_names() == ["c1"], recovered.stderr
    assert fresh_daemon.request("GET", "/1.0/instances/c1/snapshots").metadata == []
