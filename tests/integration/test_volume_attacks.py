"""Other servers that are not what they say, as sources of custom volumes. Attack 44 of the list, for volumes.

Each fails with a reason that names it, nothing of it stays, and our own files are untouched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lightervisor.migration.flow import END
from lightervisor.migration.frames import FilesBy, Header, Pair, Snapshot
from lightervisor.migration.rsync import SOURCE, sending
from lightervisor.migration.talk import Talk
from tests.harness.daemon import Daemon
from tests.integration.test_migration_attacks import ALL, OFFER, Peer, play, quietly, saying

URL = "/1.0/storage-pools/default/volumes/custom"


def pushed(daemon: Daemon, name: str, peer: Peer, **source: object) -> dict[str, Any]:
    """Push a volume to our daemon as this peer does; how the operation ended."""
    body = {"name": name, "source": {"type": "migration", "mode": "push", **source}}
    return play(daemon, daemon.request("POST", URL, body).metadata, peer)


def nothing_stays(daemon: Daemon, name: str) -> None:
    assert daemon.request("GET", f"{URL}/{name}").status == 404
    assert [str(one) for one in daemon.state.rglob(f"custom*/*{name}*")] == []


@pytest.mark.parametrize(
    ("cause", "snapshots"),
    [
        ("Invalid storage volume snapshot name", [Snapshot(name="..")]),
        ('cannot contain "/"', [Snapshot(name="../../etc")]),
        ("cannot contain white space", [Snapshot(name="arriving x")]),
        ("No name provided", [Snapshot(name="")]),
        ("offers a snapshot twice", [Snapshot(name="one"), Snapshot(name="one")]),
        ("Invalid option for volume", [Snapshot(name="one", config=(Pair(key="bogus", value="x"),))]),
    ],
)
def test_snapshots_that_cannot_be_are_refused(
    daemon: Daemon, name: str, cause: str, snapshots: Sequence[Snapshot]
) -> None:
    names = tuple(one.name for one in snapshots)
    offer = Header(files_by=FilesBy.RSYNC, rsync=ALL, snapshot_names=names, snapshots=tuple(snapshots))
    ended = pushed(daemon, name, saying(offer.encode()))
    assert ended["status"] == "Failure" and cause in ended["err"], ended["err"]
    nothing_stays(daemon, name)


@pytest.mark.parametrize(
    ("cause", "frame"),
    [
        ("ends in the middle", b"\x08\x00\x42\x7f"),
        ("Only binary messages allowed", "hello"),
        ("names other snapshots", Header(files_by=0, rsync=ALL, snapshot_names=("a",)).encode()),
        ("No matching migration types", Header(files_by=FilesBy.ZFS).encode()),
    ],
)
def test_headers_that_are_none_are_refused(daemon: Daemon, name: str, cause: str, frame: bytes | str) -> None:
    ended = pushed(daemon, name, saying(frame))
    assert ended["status"] == "Failure" and cause in ended["err"], ended["err"]
    nothing_stays(daemon, name)


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"config": 1}', b"\xff"])
def test_an_index_that_is_none_is_refused(daemon: Daemon, name: str, text: bytes) -> None:
    offer = Header(files_by=FilesBy.RSYNC, rsync=ALL, index_version=1)

    async def peer(talk: Talk) -> None:
        await talk.control.tell(offer)
        await talk.control.message(Header)
        talk.agreed(1)
        await talk.fs.send_text(text)
        await talk.ended()

    ended = pushed(daemon, name, quietly(peer))
    assert ended["status"] == "Failure" and "does not describe as LXD does" in ended["err"], ended["err"]
    nothing_stays(daemon, name)


def sender(tree: Path, *, cut: bool = False) -> Peer:
    """A source with this tree in the place of a volume's; when it is cut it goes in the middle."""

    async def peer(talk: Talk) -> None:
        await talk.control.tell(OFFER)
        await talk.control.message(Header)
        talk.agreed(0)
        if cut:
            await talk.fs.send(b"\x20\x00")
            return
        async with sending({tree: SOURCE}, ALL) as rsync:
            await talk.unless_ended(talk.fs.carry(rsync, lambda _: None))
        await talk.ended()

    return peer


def test_what_is_sent_stays_inside(daemon: Daemon, name: str, tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    (tree / "backup.yaml").write_text("volume: {name: other}")
    ended = pushed(daemon, name, sender(tree))
    assert ended["status"] == "Success", ended
    place = daemon.state / f"storage-pools/default/custom/default_{name}"
    assert (place / "rootfs/link").is_symlink() and not list(outside.iterdir())
    assert f"name: {name}" in (place / "backup.yaml").read_text()
    assert daemon.request("DELETE", f"{URL}/{name}").status == 200
    nothing_stays(daemon, name)


def test_a_source_that_goes_leaves_nothing(daemon: Daemon, name: str, tmp_path: Path) -> None:
    ended = pushed(daemon, name, quietly(sender(tmp_path, cut=True)))
    assert ended["status"] == "Failure", ended
    nothing_stays(daemon, name)


async def noise(talk: Talk) -> None:
    """A source whose bytes are no rsync's."""
    await talk.control.tell(OFFER)
    await talk.control.message(Header)
    talk.agreed(0)
    await talk.fs.send(b"\x1f\x00\x00\x00" + b"\xff" * 5000)
    await talk.fs.send(END)
    await talk.ended()


def test_bytes_that_are_no_rsync_are_refused(daemon: Daemon, name: str) -> None:
    ended = pushed(daemon, name, quietly(noise))
    assert ended["status"] == "Failure" and "rsync" in ended["err"].lower(), ended
    nothing_stays(daemon, name)


def test_nobody_comes(daemon: Daemon, name: str) -> None:
    body = {"name": name, "source": {"type": "migration", "mode": "push"}}
    begun = daemon.request("POST", URL, body).metadata
    ended = daemon.request("GET", f"/1.0/operations/{begun['id']}/wait?timeout=30").metadata
    assert ended["err"] == "Timed out waiting for websockets to connect"
    nothing_stays(daemon, name)


@pytest.fixture
def volume(daemon: Daemon, name: str) -> Iterator[Path]:
    """The files of a volume, among them a link that leads out of it, as its guest may have made it."""
    assert daemon.request("POST", URL, {"name": name, "type": "custom"}).status == 200
    root = daemon.state / f"storage-pools/default/custom/default_{name}/rootfs"
    (root / "note").write_text("own")
    yield root
    assert daemon.request("DELETE", f"{URL}/{name}").status == 200  # nobody holds it any more
    nothing_stays(daemon, name)


@pytest.mark.parametrize("peer", [noise, saying("hello"), sender(Path("/nowhere"), cut=True)])
def test_a_refresh_that_fails_changes_nothing(daemon: Daemon, name: str, volume: Path, peer: Peer) -> None:
    assert pushed(daemon, name, quietly(peer), refresh=True)["status"] == "Failure"
    assert (volume / "note").read_text() == "own"


def test_a_refresh_follows_no_link(daemon: Daemon, name: str, volume: Path, tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (volume / "a").symlink_to(outside)
    (tree / "a").mkdir(parents=True)
    (tree / "a/x").write_text("sent")
    assert pushed(daemon, name, sender(tree), refresh=True)["status"] == "Success"
    assert list(outside.iterdir()) == []
    assert (volume / "a/x").read_text() == "sent" and not (volume / "note").exists()


def asked(daemon: Daemon, name: str, peer: Peer) -> dict[str, Any]:
    """Have our daemon send a volume to this peer; how the operation ended."""
    return play(daemon, daemon.request("POST", f"{URL}/{name}", {"name": name, "migration": True}).metadata, peer)


def test_a_target_gets_nothing_that_is_not_there(daemon: Daemon, name: str, volume: Path) -> None:
    async def peer(talk: Talk) -> None:
        await talk.control.message(Header)
        await talk.control.tell(Header(files_by=FilesBy.RSYNC, rsync=ALL, refresh=True, snapshot_names=("../x",)))
        await talk.ended()

    ended = asked(daemon, name, quietly(peer))
    assert ended["status"] == "Failure" and "a snapshot '../x' that is not there" in ended["err"], ended
    assert (volume / "note").read_text() == "own"


def test_a_target_that_goes_holds_nothing(daemon: Daemon, name: str, volume: Path) -> None:
    async def peer(talk: Talk) -> None:
        await talk.control.message(Header)
        await talk.control.tell(Header(files_by=FilesBy.RSYNC, rsync=ALL))
        await talk.fs.send(b"\x20\x00")

    assert asked(daemon, name, quietly(peer))["status"] == "Failure"
    assert (volume / "note").read_text() == "own"
