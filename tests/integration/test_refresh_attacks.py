"""Other servers that are not what they say, as sources of a refresh that is cut and goes on. Attack 44 of the list.

What has come until the cut is somebody else's word, and what comes afterwards need not be of the same one: until all
has come the instance is what it was, and nothing reaches out of it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from lightervisor.migration.flow import END
from lightervisor.migration.frames import Header
from lightervisor.migration.rsync import SOURCE, sending
from lightervisor.migration.talk import Talk
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.integration.test_migration_attacks import ALL, OFFER, Peer, play, pushed, quietly, sender
from tests.integration.test_migration_streams import Changed

MIB = 1 << 20


@pytest.fixture
def instance(daemon: Daemon, name: str) -> str:
    """One with a file."""
    made = daemon.operation("POST", "/1.0/instances", {"name": name, "source": {"type": "none"}})
    assert made["status"] == "Success", made
    put(daemon, name, "note", b"own")
    return name


def put(daemon: Daemon, name: str, file: str, data: bytes) -> None:
    headers = {"X-LXD-type": "file", "Content-Type": "application/octet-stream"}
    answer = daemon.request("POST", f"/1.0/instances/{name}/files?path=/{file}", data, headers=headers)
    assert answer.status == 200, answer.error


def read(daemon: Daemon, name: str, path: str) -> bytes:
    return daemon.request("GET", f"/1.0/instances/{name}/files?path=/{path}").body


def waiting(daemon: Daemon) -> list[Path]:
    """What has come of something that was cut."""
    return [path for path in daemon.state.glob("storage-pools/default/containers/*") if " " in path.name]


def refreshed(daemon: Daemon, name: str, peer: Peer) -> dict[str, Any]:
    return pushed(daemon, name, quietly(peer), refresh=True)


def cut(tree: Path, count: int) -> Peer:
    """A source with this tree that goes after so many bytes."""

    async def peer(talk: Talk) -> None:
        await talk.control.tell(OFFER)
        await talk.control.message(Header)
        talk.agreed(0)
        left = count

        def until_then(frame: bytes) -> bytes | None:
            nonlocal left
            left -= len(frame)
            return frame if left > 0 else None

        talk.fs._channel = Changed(talk.fs._channel, until_then)
        async with sending({tree: SOURCE}, ALL) as rsync:
            await talk.unless_ended(talk.fs.carry(rsync, lambda _: None))

    return peer


def tree_of(folder: Path, name: str) -> Path:
    root = folder / name / "rootfs"
    root.mkdir(parents=True)
    (root / "large").write_bytes(os.urandom(8 * MIB))
    return root.parent


def is_cut(daemon: Daemon, name: str, tree: Path) -> None:
    ended = refreshed(daemon, name, cut(tree, 4 * MIB))
    assert "the same command goes on from there" in ended["err"], ended
    assert len(waiting(daemon)) == 1
    assert read(daemon, name, "note") == b"own"
    assert daemon.request("GET", f"/1.0/instances/{name}/files?path=/large").status == 404


def test_a_link_that_came_before_the_cut_is_not_followed(daemon: Daemon, instance: str, tmp_path: Path) -> None:
    outside, first, second = tmp_path / "outside", tree_of(tmp_path, "first"), tree_of(tmp_path, "second")
    outside.mkdir()
    (first / "rootfs/a").symlink_to(outside)
    (first / "rootfs/etc").symlink_to("/etc")
    (first / "backup.yaml").write_text("container: nobody")
    (first / "templates").symlink_to("/etc")
    for folder in ("a", "etc"):
        (second / "rootfs" / folder).mkdir()
        (second / "rootfs" / folder / "x").write_text("sent")
    is_cut(daemon, instance, first)
    ended = refreshed(daemon, instance, sender(second))
    assert ended["status"] == "Success", ended
    assert list(outside.iterdir()) == [] and not Path("/etc/x").exists()
    assert read(daemon, instance, "a/x") == read(daemon, instance, "etc/x") == b"sent"
    assert read(daemon, instance, "large") == (second / "rootfs/large").read_bytes()
    assert waiting(daemon) == []
    assert instance in (daemon.state / "storage-pools/default/containers" / instance / "backup.yaml").read_text()


def test_a_directory_that_came_before_the_cut_becomes_a_link(daemon: Daemon, instance: str, tmp_path: Path) -> None:
    first, second = tree_of(tmp_path, "first"), tree_of(tmp_path, "second")
    (first / "rootfs/a").mkdir()
    (first / "rootfs/a/x").write_text("of somebody else")
    (second / "rootfs/a").symlink_to("/etc")
    is_cut(daemon, instance, first)
    assert refreshed(daemon, instance, sender(second))["status"] == "Success"
    assert read(daemon, instance, "a") == b"/etc"  # a link, which tells where it leads
    assert waiting(daemon) == []


def test_a_root_that_is_none_after_the_cut(daemon: Daemon, instance: str, tmp_path: Path) -> None:
    first, second = tree_of(tmp_path, "first"), tmp_path / "second"
    second.mkdir()
    (second / "rootfs").symlink_to("/etc")
    is_cut(daemon, instance, first)
    assert refreshed(daemon, instance, sender(second))["status"] == "Failure"
    assert read(daemon, instance, "note") == b"own"
    assert waiting(daemon) == []


def test_what_is_no_rsync_after_the_cut(daemon: Daemon, instance: str, tmp_path: Path) -> None:
    async def noise(talk: Talk) -> None:
        await talk.control.tell(OFFER)
        await talk.control.message(Header)
        talk.agreed(0)
        await talk.fs.send(b"\x1f\x00\x00\x00" + b"\xff" * 5000)
        await talk.fs.send(END)
        await talk.ended()

    is_cut(daemon, instance, tree_of(tmp_path, "first"))
    ended = refreshed(daemon, instance, noise)
    assert ended["status"] == "Failure" and "rsync" in ended["err"].lower(), ended
    assert read(daemon, instance, "note") == b"own"
    assert waiting(daemon) == []


def test_who_comes_and_says_nothing_or_never_comes(daemon: Daemon, instance: str) -> None:
    """It is told who asks meanwhile, can be cancelled, and goes by itself when nobody comes."""
    body = {"name": instance, "source": {"type": "migration", "mode": "push", "refresh": True}}
    state = f"/1.0/instances/{instance}/state"

    async def silent(talk: Talk) -> None:
        await talk.control.tell(OFFER)
        await talk.control.message(Header)
        said = ""
        while "busy" not in said:
            said = (await asyncio.to_thread(daemon.request, "PUT", state, {"action": "start", "timeout": 5})).error
        assert 'Instance is busy running a "refresh" operation' in said
        assert (await asyncio.to_thread(daemon.request, "DELETE", f"/1.0/operations/{begun['id']}")).status == 200

    begun = daemon.request("POST", "/1.0/instances", body).metadata
    assert play(daemon, begun, silent)["status"] == "Cancelled"
    begun = daemon.request("POST", "/1.0/instances", body).metadata
    ended = daemon.request("GET", f"/1.0/operations/{begun['id']}/wait?timeout=30").metadata
    assert ended["err"] == "Timed out waiting for websockets to connect"
    eventually(lambda: read(daemon, instance, "note") == b"own", what="the instance to be idle")
    assert waiting(daemon) == []
