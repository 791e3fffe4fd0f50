"""Backups that nobody should have made: each is refused with one clear message, and nothing is left."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.crafted import Build, archive, compressed, folder, hard_link, link, member
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

IDMAP = '[{"Isuid":true,"Isgid":true,"Hostid":%d,"Nsid":%d,"Maprange":%d}]'


def index(**changes: Any) -> dict[str, Any]:
    """A good index, with changes."""
    container = {
        "name": "evil", "architecture": "x86_64", "config": {}, "devices": {}, "profiles": ["default"],
        "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    container |= changes.pop("container", {})
    config = {"container": container, "pool": {"name": "default", "driver": "dir"}, **changes.pop("config", {})}
    return {"name": "evil", "backend": "dir", "pool": "default", "type": "container", "config": config, **changes}


def backup(*build: Build, text: str | None = None, **changes: Any) -> bytes:
    """An archive with an index and what else is given."""
    described = yaml.safe_dump(index(**changes)) if text is None else text
    return archive(member("backup/index.yaml", data=described.encode()), *build, metadata="")


TREE = (
    folder("backup/container"),
    folder("backup/container/rootfs"),
    member("backup/container/rootfs/file", data=b"x"),
)
SNAPSHOT = {"name": "s1", "architecture": "x86_64", "created_at": "2026-01-01T00:00:00Z"}


def with_snapshots(*names: str, **fields: Any) -> dict[str, Any]:
    snapshots = [{**SNAPSHOT, "name": name, **fields} for name in names]
    return {"snapshots": list(names), "config": {"snapshots": snapshots}}


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "noise": (os.urandom(5000), "Unsupported compression"),
    "no index": (archive(*TREE, metadata=""), "Backup is missing index.yaml"),
    "index is a link": (archive(link("backup/index.yaml", "/etc/shadow"), *TREE, metadata=""), "not a plain file"),
    "index is a list": (backup(*TREE, text="- a\n"), "index.yaml is not a mapping"),
    "index is no YAML": (backup(*TREE, text="a: [b\n"), "index.yaml cannot be read"),
    "billion laughs": (backup(*TREE, text="a: &a [x]\nb: [*a, *a]\n"), "uses YAML aliases"),
    "deep": (backup(*TREE, text="[" * 100000), "nested more than 50 levels deep"),
    "python": (backup(*TREE, text="name: !!python/object/apply:os.system [id]\n"), "index.yaml cannot be read"),
    "wrong types": (backup(*TREE, snapshots="s1"), "Expected `array`"),
    "null snapshot": (backup(*TREE, snapshots=[None]), "Expected `str`"),
    "null container": (backup(*TREE, config={"container": None}), "says nothing of the instance"),
    "name with slash": (backup(*TREE, name="../evil"), "Invalid instance name"),
    "empty name": (backup(*TREE, name=""), "Invalid instance name"),
    "virtual machine": (backup(*TREE, type="virtual-machine"), "virtual machine"),
    "volume": (backup(*TREE, type="custom"), "not of an instance"),
    "optimized": (backup(*TREE, optimized=True, backend="btrfs"), 'storage driver "btrfs" differs'),
    "unknown profile": (backup(*TREE, container={"profiles": ["nope"]}), 'Requested profile "nope" doesn\'t exist'),
    "unknown key": (backup(*TREE, container={"config": {"no.such": "1"}}), "Unknown configuration key"),
    "newline in a value": (backup(*TREE, container={"config": {"environment.A": "b\nlxc.hook.pre-start=/bin/id"}}), ""),
    "bad device": (backup(*TREE, container={"devices": {"d": {"type": "disk", "path": "/x"}}}), "source"),
    "bad architecture": (backup(*TREE, container={"architecture": "vax"}), "vax"),
    "snapshot named ..": (backup(*TREE, **with_snapshots("..")), "snapshot name"),
    "snapshot with slash": (backup(*TREE, **with_snapshots("a/b")), 'Cannot contain "/"'),
    "snapshot twice": (backup(*TREE, **with_snapshots("a", "a")), "lists a snapshot twice"),
    "undescribed snapshot": (backup(*TREE, snapshots=["s1"]), "describes other snapshots than it lists"),
    "unknown key in a snapshot": (
        backup(*TREE, **with_snapshots("a", config={"no.such": "1"})), "Snapshot a: Invalid config: Unknown conf",
    ),
    "bad value in a snapshot": (
        backup(*TREE, **with_snapshots("a", config={"raw.lxc": "lxc.hook.pre-start=\0/bin/id"})), "Snapshot a: ",
    ),
    "bad device in a snapshot": (
        backup(*TREE, **with_snapshots("a", devices={"d": {"type": "disk", "path": "/x"}})), "Snapshot a: ",
    ),
    "date": (backup(*TREE, container={"created_at": "0000-99-99"}), "created_at"),
}  # fmt: skip
FAILING: dict[str, tuple[bytes, str]] = {
    "no tree": (backup(), "it has no backup"),
    "no root": (backup(folder("backup/container")), "it has no rootfs"),
    "root is a link": (
        backup(folder("backup/container"), link("backup/container/rootfs", "/etc")), "rootfs is not a directory",
    ),
    "container is a link": (backup(link("backup/container", "/")), "not a directory"),
    "missing snapshot": (backup(*TREE, **with_snapshots("s1")), "disagree about the snapshot 's1'"),
    "extra snapshot": (backup(*TREE, folder("backup/snapshots/s9")), "disagree about the snapshot 's9'"),
    "snapshots is a link": (backup(*TREE, link("backup/snapshots", "/etc")), "not a directory"),
    "snapshot is a link": (
        backup(*TREE, folder("backup/snapshots"), link("backup/snapshots/s1", "../container"), **with_snapshots("s1")),
        "its s1 is not a directory",
    ),
    "hard link outside": (backup(*TREE, hard_link("backup/container/rootfs/s", "/etc/shadow")), "cannot be unpacked"),
    "cut short": (
        compressed(backup(*TREE, member("backup/container/rootfs/big", data=os.urandom(1 << 20))), "gz")[:-9000],
        "damaged",
    ),
    "overlapping id map": (
        backup(*TREE, container={"config": {"volatile.last_state.idmap": IDMAP % (5, 0, 0)}}), "ranges overlap",
    ),
    "endless id map": (
        backup(*TREE, container={"config": {"volatile.last_state.idmap": IDMAP % (2**31, 0, 2**32)}}), "ranges overlap",
    ),
}  # fmt: skip


@pytest.fixture
def untouched(daemon: Daemon) -> Iterator[None]:
    """Nothing is left of what was refused."""

    def present() -> list[str]:
        root = daemon.state
        places = [root / "backups/.incoming", root / "storage-pools/default"]
        return sorted(str(one) for place in places for one in place.glob("*/*")) + sorted(daemon.instance_names())

    trash = daemon.state / "storage-pools/default/trash"
    eventually(lambda: list(trash.iterdir()) == [], what="the trash of earlier tests to be emptied")
    before = present()
    yield
    eventually(lambda: present() == before or not print(set(present()) ^ set(before)), what="what was unpacked to go")
    assert list((daemon.state / "backups/.incoming").iterdir()) == []


def send(daemon: Daemon, data: bytes, **headers: str) -> tuple[int, str]:
    """Import; the status of the answer, and what was said at last."""
    named = {f"X-LXD-{key}": value for key, value in headers.items()}
    answer = daemon.request(
        "POST", "/1.0/instances", data, headers={"Content-Type": "application/octet-stream", **named}
    )
    if answer.status != 202:
        return answer.status, answer.error
    done = daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata
    return 202, done["err"]


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_bad_index_is_refused_at_once(daemon: Daemon, case: str, untouched: None) -> None:
    data, text = REFUSED[case]
    status, said = send(daemon, data)
    assert status in (400, 404, 501), said
    assert text in said


@pytest.mark.parametrize("case", list(FAILING))
def test_a_bad_tree_is_refused_whole(daemon: Daemon, case: str, untouched: None) -> None:
    data, text = FAILING[case]
    status, said = send(daemon, data)
    assert (status, text in said) == (202, True), said


def test_nothing_reaches_out_of_the_archive(daemon: Daemon, untouched: None, vault: Path) -> None:
    mark = vault / "mark"
    root = "backup/container/rootfs"
    tries = [
        [member(f"{root}/../../../../../../../../../..{mark}", data=b"x")],
        [member(str(mark), data=b"x")],
        [link(f"{root}/out", str(vault)), member(f"{root}/out/mark", data=b"x")],
        [link(f"{root}/up", "../../../../.."), member(f"{root}/up{mark}", data=b"x")],
    ]
    for number, build in enumerate(tries):
        send(daemon, backup(*TREE, *build), name=f"evil{number}")
        if f"evil{number}" in daemon.instance_names():
            daemon.operation("DELETE", f"/1.0/instances/evil{number}")
    assert list(vault.iterdir()) == []


def test_a_snapshot_that_is_a_link_takes_nothing_from_others(daemon: Daemon) -> None:
    daemon.operation("POST", "/1.0/instances", {"name": "victim", "source": {"type": "none"}})
    root = daemon.state / "storage-pools/default/containers/victim/rootfs"
    assert root.is_dir()
    way = link("backup/snapshots/s1", "../../../../containers/victim")
    status, said = send(daemon, backup(*TREE, folder("backup/snapshots"), way, **with_snapshots("s1")))
    assert (status, "its s1 is not a directory" in said) == (202, True), said
    assert root.is_dir()
    daemon.operation("DELETE", "/1.0/instances/victim")


def test_a_bomb_is_stopped(daemon: Daemon, untouched: None, tmp_path: Path) -> None:
    text, packed = yaml.safe_dump(index()).encode(), tmp_path / "bomb.tar.zst"
    with packed.open("wb") as file:
        packer = subprocess.Popen(["zstd", "-qc"], stdin=subprocess.PIPE, stdout=file)
        with packer, tarfile.open(fileobj=packer.stdin, mode="w|") as made:
            info = tarfile.TarInfo("backup/index.yaml")
            info.size = len(text)
            made.addfile(info, io.BytesIO(text))
            big = tarfile.TarInfo("backup/container/rootfs/zero")
            big.size = 3 << 30
            with Path("/dev/zero").open("rb") as zero:
                made.addfile(big, zero)
    status, said = send(daemon, packed.read_bytes())
    assert status == 202
    assert "unpacks to more than" in said


def test_an_import_that_is_cancelled_before_its_turn_leaves_nothing(daemon: Daemon, untouched: None) -> None:
    source = {"type": "migration", "mode": "push"}  # nobody comes: it holds the name for ten seconds
    holds = daemon.request("POST", "/1.0/instances", {"name": "evil", "source": source}).envelope["operation"]
    headers = {"Content-Type": "application/octet-stream"}
    waits = daemon.request("POST", "/1.0/instances", backup(*TREE), headers=headers).envelope["operation"]
    assert list((daemon.state / "storage-pools/default/trash").glob("*/backup/container")) != []
    for operation in (waits, holds):
        assert daemon.request("DELETE", operation).status == 200
        assert daemon.request("GET", f"{operation}/wait").metadata["status"] == "Cancelled"


def test_an_upload_that_breaks_off_leaves_nothing(daemon: Daemon, untouched: None) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.state / "unix.socket"))
        head = "POST /1.0/instances HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
        other = archive(*TREE, member("big", data=os.urandom(1 << 20)), metadata="")  # its index does not come first
        client.sendall(f"{head}Content-Length: 9000000\r\n\r\n".encode() + other[:1000000])
        incoming = daemon.state / "backups/.incoming"
        eventually(lambda: any(incoming.iterdir()), what="the upload to begin")
    eventually(lambda: not any(incoming.iterdir()), what="the upload to be removed")


def test_a_download_that_breaks_off_ends_the_packing(daemon: Daemon, running: str, untouched: None) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.state / "unix.socket"))
        head = f"POST /1.0/instances/{running}/backups HTTP/1.1\r\nHost: x\r\nAccept: application/octet-stream\r\n"
        body = b'{"compression_algorithm": "none"}'
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")
    eventually(lambda: "running" not in daemon.request("GET", "/1.0/operations").metadata, what="the operation to end")
    moments = daemon.state / "storage-pools/default/containers-snapshots" / running
    eventually(lambda: not list(moments.glob("*")), what="what was read from to go")


def test_a_good_one_is_taken(daemon: Daemon, untouched: None) -> None:
    told = {"config": {"volatile.last_state.idmap": IDMAP % (1000000, 0, 65536)}}
    status, said = send(daemon, backup(*TREE, container=told))
    assert (status, said) == (202, "")
    assert daemon.operation("DELETE", "/1.0/instances/evil")["err"] == ""
