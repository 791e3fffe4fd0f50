"""Streams of files from other servers that end too early, or are not what rsync wrote (attack 44).

Whatever comes: it fails and nothing of it stays, or it is an instance like any other. Nothing is written elsewhere.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lightervisor.migration.frames import FilesBy, Header
from lightervisor.migration.rsync import SOURCE, offered, sending
from lightervisor.migration.talk import Talk
from lightervisor.operations.operations import Channel
from tests.conftest import discard
from tests.harness.certificates import make
from tests.harness.daemon import Daemon
from tests.harness.left_in_pools import leftovers
from tests.harness.network import on_network
from tests.harness.processes import eventually
from tests.integration.test_migration_attacks import Peer, nothing_stays, pushed, quietly

PLAIN = offered({}, is_far=False)  # names and contents are in the stream as they are
OFFER = Header(files_by=FilesBy.RSYNC, rsync=PLAIN)
STRANGE = "STRANGE-FILE"
SEEDS = 12
Change = Callable[[bytes], bytes | None]
"""What becomes of a frame; one that becomes shorter is the last, None is the end of the connection before it."""


class Changed:
    """A websocket on which what is sent is changed."""

    def __init__(self, channel: Channel, change: Change) -> None:
        self._channel, self._change = channel, change
        self.is_on_this_host = channel.is_on_this_host

    async def receive(self) -> bytes | str | None:
        """The next frame."""
        return await self._channel.receive()

    async def send(self, frame: bytes | str) -> None:
        """Send what becomes of a frame."""
        changed = self._change(frame.encode() if isinstance(frame, str) else frame)
        if changed is not None:
            await self._channel.send(frame if isinstance(frame, str) else changed)
        if changed is None or len(changed) < len(frame):
            await self._channel.close()
            raise ConnectionResetError

    async def close(self) -> None:
        """Close it."""
        await self._channel.close()


def sender(tree: Path, change: Change) -> Peer:
    """A source that sends this tree, with each frame of it changed."""

    async def peer(talk: Talk) -> None:
        await talk.control.tell(OFFER)
        await talk.control.message(Header)
        talk.agreed(0)
        talk.fs._channel = Changed(talk.fs._channel, change)
        async with sending({tree: SOURCE}, PLAIN) as rsync:
            await talk.unless_ended(talk.fs.carry(rsync, lambda _: None))
        await talk.ended()

    return quietly(peer)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What an instance could be, of a few hundred kilobytes."""
    tree = tmp_path / "tree"
    for number in range(40):
        folder = tree / f"rootfs/QQ/QQ/folder{number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{STRANGE}{number}").write_bytes(random.Random(number).randbytes(10_000))
    (tree / "rootfs/etc").mkdir()
    (tree / "rootfs/etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    return tree


def strange_files(daemon: Daemon) -> list[Path]:
    """Where files of it lie; the trash may be emptied meanwhile, which `os.walk` does not mind."""
    walk = os.walk(daemon.state)
    return [Path(place, one) for place, folders, files in walk for one in (*folders, *files) if STRANGE in one]


@pytest.fixture(autouse=True)
def nothing_elsewhere(daemon: Daemon) -> Iterator[None]:
    """No file of it has come to lie anywhere but in a pool, where what was cut waits for another try."""
    yield
    leftovers(daemon)  # once the trash is empty
    found = [one.relative_to(daemon.state) for one in strange_files(daemon)]
    assert [str(one) for one in found if one.parts[:2] != ("storage-pools", "default")] == []
    assert not list(Path("/").glob(f"{STRANGE}*"))


@pytest.fixture(autouse=True, scope="module")
def nothing_stays_there(daemon: Daemon) -> Iterator[None]:
    """What waits goes when the daemon starts."""
    yield
    daemon.restart()
    eventually(lambda: not strange_files(daemon), what="what was cut to go")


def length_of(daemon: Daemon, name: str, tree: Path) -> int:
    """How many bytes the stream has when it is whole."""
    sent = [0]

    def count(frame: bytes) -> bytes:
        sent[0] += len(frame)
        return frame

    ended = pushed(daemon, name, sender(tree, count))
    assert ended["status"] == "Success", ended
    discard(daemon, name)
    return sent[0]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99, 1.0])
def test_a_source_that_goes_at_any_moment_leaves_nothing(daemon: Daemon, name: str, tree: Path, share: float) -> None:
    left = [int(length_of(daemon, name, tree) * share)]

    def cut(frame: bytes) -> bytes | None:
        if not frame or left[0] <= 0:  # with all of it there, the end is not said
            return None
        cut, left[0] = frame[: left[0]], left[0] - len(frame)
        return cut

    ended = pushed(daemon, name, sender(tree, cut))
    assert ended["status"] == "Failure", ended
    nothing_stays(daemon, name)


@pytest.mark.parametrize(
    ("part", "other"), [(b"QQ", b".."), (b"folder", b"../../"), (b"STRANGE-FILE", b"../../../../")]
)
def test_names_that_lead_out_are_refused(daemon: Daemon, name: str, tree: Path, part: bytes, other: bytes) -> None:
    assert len(part) == len(other)
    seen: list[bytes] = []

    def change(frame: bytes) -> bytes:
        seen.extend([part] * frame.count(part))
        return frame.replace(part, other)

    ended = pushed(daemon, name, sender(tree, change))
    assert seen
    assert ended["status"] == "Failure", ended
    nothing_stays(daemon, name)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_stream_that_is_damaged_fails_or_is_an_instance(daemon: Daemon, name: str, tree: Path, seed: int) -> None:
    dice = random.Random(seed)
    where = dice.choice([40, 2000, 100_000])

    def change(frame: bytes) -> bytes:
        changed = bytearray(frame)
        for _ in range(len(frame) // where + 1):
            if changed:
                changed[dice.randrange(len(changed))] = dice.randrange(256)
        return bytes(changed)

    ended = pushed(daemon, name, sender(tree, change))
    if ended["status"] == "Success":
        discard(daemon, name)
    else:
        assert ended["err"]
        assert "Traceback" not in ended["err"]
        nothing_stays(daemon, name)


def test_somebody_in_the_middle_is_not_believed(daemon: Daemon, name: str) -> None:
    with on_network(daemon) as network:
        source: dict[str, Any] = {
            "type": "migration",
            "mode": "pull",
            "operation": f"https://{network.address}/1.0/operations/00000000-0000-4000-8000-000000000000",
            "certificate": make("root@middle").pem,
            "secrets": {"control": "x", "fs": "x"},
        }
        answer = daemon.request("POST", "/1.0/instances", {"name": name, "source": source})
        assert answer.status == 202, answer.error
        ended = daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata
        assert ended["status"] == "Failure"
        assert "certificate" in ended["err"], ended["err"]
        nothing_stays(daemon, name)
