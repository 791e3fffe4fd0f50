"""Backups are unpacked while they come: nothing waits in a file, nothing is left of what is refused or breaks off."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.client_lxc import Lxc
from tests.harness.crafted import archive, compressed, folder, member
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.integration.test_backup_attacks import IDMAP, SNAPSHOT, TREE, backup, index, send
from tests.integration.test_volume_backups import index as volume_index
from tests.integration.test_volume_backups import packed

BIG = "backup/container/rootfs/big"
VOLUMES = "/1.0/storage-pools/default/volumes/custom"
MIB = 1 << 20


class Sending:
    """An upload that goes as slowly as the test wants."""

    def __init__(self, daemon: Daemon, client: socket.socket, data: bytes, path: str = "/1.0/instances") -> None:
        self._client, self._left = client, data
        client.settimeout(60)
        client.connect(str(daemon.state / "unix.socket"))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode())

    def go(self, count: int | None = None) -> None:
        now, self._left = self._left[:count], self._left[len(self._left[:count]) :]
        self._client.sendall(now)

    def answer(self) -> str:
        return self._client.recv(65536).decode()


@contextmanager
def sending(daemon: Daemon, data: bytes, path: str = "/1.0/instances") -> Iterator[Sending]:
    with socket.socket(socket.AF_UNIX) as client:
        yield Sending(daemon, client, data, path)


def trash(daemon: Daemon) -> Path:
    return daemon.state / "storage-pools/default/trash"


def waiting(daemon: Daemon) -> list[str]:
    """Files in which something is received."""
    return sorted(one.name for one in (daemon.state / "backups/.incoming").iterdir())


def comes(daemon: Daemon, name: str) -> bool:
    return any(trash(daemon).glob(f"*/{name}"))


def gone(daemon: Daemon) -> bool:
    return not list(trash(daemon).iterdir()) and not waiting(daemon)


@pytest.fixture(autouse=True)
def clean(daemon: Daemon) -> Iterator[None]:
    """Nothing was there, and nothing is left."""
    eventually(lambda: gone(daemon), what="the trash of earlier tests to be emptied")
    yield
    if "evil" in daemon.instance_names():
        daemon.operation("DELETE", "/1.0/instances/evil")
    eventually(lambda: gone(daemon), what="what was unpacked to go")


def finished(daemon: Daemon, answer: str) -> dict[str, Any]:
    assert " 202 " in answer.splitlines()[0], answer
    url = answer.partition("\nLocation: ")[2].partition("\r")[0]
    return daemon.request("GET", f"{url}/wait").metadata


@pytest.mark.parametrize("suffix", ["tar", "gz", "zst"])
def test_files_are_there_before_the_last_byte_is_sent(daemon: Daemon, suffix: str) -> None:
    data = os.urandom(8 * MIB)
    whole = compressed(backup(*TREE, member(BIG, data=data)), suffix)
    with sending(daemon, whole) as upload:
        upload.go(6 * MIB)
        eventually(lambda: comes(daemon, "backup/container/rootfs/file"), what="the first file to be unpacked")
        eventually(lambda: comes(daemon, BIG), what="half of the second to be unpacked")
        assert waiting(daemon) == []
        assert "evil" not in daemon.instance_names()
        upload.go()
        assert finished(daemon, upload.answer())["err"] == ""
    there = daemon.request("GET", "/1.0/instances/evil/files?path=/big").body
    assert there == data


@pytest.mark.parametrize("suffix", ["tar", "gz", "zst"])
def test_what_is_cut_leaves_nothing(daemon: Daemon, suffix: str) -> None:
    whole = compressed(backup(*TREE, member(BIG, data=os.urandom(8 * MIB))), suffix)
    with sending(daemon, whole) as upload:
        upload.go(6 * MIB)
        eventually(lambda: comes(daemon, BIG), what="the upload to be half there")
    eventually(lambda: gone(daemon), what="all of it to go")
    assert "evil" not in daemon.instance_names()


def test_what_is_cut_before_its_order_is_known_leaves_nothing(daemon: Daemon) -> None:
    with sending(daemon, backup(*TREE)) as upload:
        upload.go(600)
        eventually(lambda: waiting(daemon), what="the upload to begin")
    eventually(lambda: gone(daemon), what="all of it to go")


def test_a_killed_daemon_leaves_nothing(daemon: Daemon) -> None:
    with sending(daemon, backup(*TREE, member(BIG, data=os.urandom(8 * MIB)))) as upload:
        upload.go(6 * MIB)
        eventually(lambda: comes(daemon, BIG), what="the upload to be half there")
        daemon.kill()
    daemon.start()
    eventually(lambda: gone(daemon), what="all of it to go")


@pytest.mark.parametrize("suffix", ["tar", "gz"])
def test_an_index_that_comes_last_is_waited_for(daemon: Daemon, suffix: str) -> None:
    text = yaml.safe_dump(index()).encode()
    whole = archive(*TREE, member(BIG, data=os.urandom(8 * MIB)), member("backup/index.yaml", data=text), metadata="")
    with sending(daemon, compressed(whole, suffix)) as upload:
        upload.go(6 * MIB)
        eventually(lambda: waiting(daemon), what="the upload to begin")
        assert not comes(daemon, "backup")
        upload.go()
        assert finished(daemon, upload.answer())["err"] == ""
    assert daemon.request("GET", "/1.0/instances/evil/files?path=/file").body == b"x"


def test_folders_before_the_index_are_no_other_order(daemon: Daemon) -> None:
    text = yaml.safe_dump(index()).encode()
    whole = archive(folder("./backup"), member("./backup/index.yaml", data=text), *TREE, metadata="")
    assert send(daemon, whole) == (202, "")


def test_owners_of_two_id_maps(daemon: Daemon) -> None:
    """Snapshots may be from a time when the instance had another one; both read the archive for themselves."""
    shifted = {"volatile.last_state.idmap": IDMAP % (1000000, 0, 65536)}
    others = {"volatile.last_state.idmap": IDMAP % (2000000, 0, 65536)}
    whole = backup(
        *TREE,
        folder("backup/snapshots/s1/rootfs"),
        container={"config": shifted},
        snapshots=["s1"],
        config={"snapshots": [{**SNAPSHOT, "config": others}]},
    )
    assert send(daemon, whole) == (202, "")
    assert daemon.request("GET", "/1.0/instances/evil/snapshots").metadata == ["/1.0/instances/evil/snapshots/s1"]


def test_what_is_refused_is_refused_before_all_is_sent(daemon: Daemon) -> None:
    with sending(daemon, backup(*TREE, member(BIG, data=os.urandom(8 * MIB)), name="a/b")) as upload:
        upload.go(MIB)
        said = upload.answer()
    assert " 400 " in said.splitlines()[0] and "Invalid instance name" in said


def test_both_clients_are_told_before_they_have_sent_all(daemon: Daemon, either: Lxc, tmp_path: Path) -> None:
    """A client that still sends hears of it all the same, and not that its connection broke."""
    assert send(daemon, backup(*TREE)) == (202, "")
    file = tmp_path / "large.tar"
    file.write_bytes(backup(*TREE, member(BIG, data=bytes(100 * MIB))))
    either("import", str(file)).failed("already exists")


def test_a_bad_tree_ends_the_upload(daemon: Daemon) -> None:
    """What nobody unpacks any more is not sent to its end."""
    bad = member("backup/container", data=b"no directory")
    whole = backup(bad, folder("backup/container/rootfs"), member(BIG, data=os.urandom(40 * MIB)))
    damaged = whole[: 20 * MIB] + os.urandom(MIB) + whole[20 * MIB :]
    assert send(daemon, damaged)[0] == 202
    assert "evil" not in daemon.instance_names()


def test_a_volume_comes_in_the_same_way(daemon: Daemon) -> None:
    data = os.urandom(8 * MIB)
    whole = packed({**volume_index(), "backup/volume": None, "backup/volume/f": b"x", "backup/volume/big": data})
    with sending(daemon, whole, VOLUMES) as upload:
        upload.go(6 * MIB)
        eventually(lambda: comes(daemon, "backup/volume/big"), what="the volume to be half there")
        assert waiting(daemon) == []
    eventually(lambda: gone(daemon), what="all of it to go")
    with sending(daemon, whole, VOLUMES) as upload:
        upload.go()
        assert finished(daemon, upload.answer())["err"] == ""
    place = daemon.state / "storage-pools/default/custom/default_made/rootfs"
    assert (place / "big").read_bytes() == data
    assert daemon.request("DELETE", f"{VOLUMES}/made").status == 200
