"""Other servers that are not what they say, as sources of custom volumes. Attack 44 of the list, for volumes.

Each fails with a reason that names it, nothing of it stays, and our own files are untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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
