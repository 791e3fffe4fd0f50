"""Copies that take minutes: nobody waits for them. What cannot be done meanwhile is refused, and stops are possible."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import discard
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

V = ("storage", "volume")
BUSY = 'Instance is busy running a "{}" operation'
STOP = {"action": "stop", "force": True, "timeout": 30}
MIB = 1 << 20


@pytest.fixture
def pool(daemon: Daemon, name: str) -> Iterator[str]:
    """A pool of plain directories, for which each copy is one of all files."""
    chosen = f"p-{name}"
    assert daemon.request("POST", "/1.0/storage-pools", {"name": chosen, "driver": "dir"}).status == 201
    yield chosen
    for made in daemon.instance_names():
        if made == name or made.startswith(f"{name}-"):
            discard(daemon, made)
    for url in daemon.request("GET", f"/1.0/storage-pools/{chosen}/volumes/custom").metadata:
        assert "/snapshots/" in url or daemon.request("DELETE", url).status == 200
    assert daemon.request("DELETE", f"/1.0/storage-pools/{chosen}").status == 200


def root(pool: str) -> dict[str, dict[str, str]]:
    return {"root": {"type": "disk", "path": "/", "pool": pool}}


def large(directory: Path) -> None:
    """Files that take a while to be copied."""
    for number in range(60):
        (directory / f"large{number}").write_bytes(os.urandom(10 * MIB))


def files(daemon: Daemon, pool: str, kind: str, name: str) -> Path:
    return daemon.state / "storage-pools" / pool / kind / name / "rootfs"


def copier(daemon: Daemon) -> int:
    """The program that copies files for the daemon, as soon as there is one."""
    assert daemon.process is not None
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    if is_copying(Path(f"/proc/{child}/cmdline").read_bytes()):
                        return int(child)
    raise AssertionError("nothing is copied")


def is_copying(words: bytes) -> bool:
    return words.startswith((b"cp\0", b"rsync\0")) or b"tree_copy" in words


@contextmanager
def stuck(daemon: Daemon, url: str) -> Iterator[None]:
    """An operation copies, and stands still meanwhile; it succeeds in the end."""
    program = copier(daemon)
    os.kill(program, signal.SIGSTOP)
    try:
        yield
        assert daemon.request("GET", url).metadata["status"] == "Running"
    finally:
        os.kill(program, signal.SIGCONT)
    assert daemon.request("GET", f"{url}/wait").metadata["err"] == ""


def begun(daemon: Daemon, path: str, body: object) -> str:
    answer = daemon.request("POST", path, body)
    assert answer.status == 202, answer.error
    return answer.envelope["operation"].partition("?")[0]


def refusal(daemon: Daemon, method: str, path: str, body: object = None) -> str:
    """Why a request is refused, now and not later."""
    began = time.monotonic()
    answer = daemon.request(method, path, body)
    said = answer.error
    if answer.status == 202:
        url = answer.envelope["operation"].partition("?")[0]
        done: dict[str, Any] = daemon.request("GET", f"{url}/wait?timeout=20").metadata
        assert done["status"] == "Failure", done
        said = done["err"]
    assert time.monotonic() - began < 20
    assert said
    return said


@pytest.mark.parametrize("where", ["same", "other"])
def test_a_stopped_source_of_directories(
    daemon: Daemon, lxc: Lxc, image: str, name: str, pool: str, where: str, tmp_path: Path
) -> None:
    """Reading it where it is stops nobody else who reads; what writes to it is refused at once."""
    lxc("init", image, name, "--storage", pool).ok()
    large(files(daemon, pool, "containers", name))
    target, one = pool if where == "same" else "default", f"/1.0/instances/{name}"
    body = {"name": f"{name}-copy", "source": {"type": "copy", "source": name}, "devices": root(target)}
    with stuck(daemon, begun(daemon, "/1.0/instances", body)):
        busy = BUSY.format("copy")
        assert busy in refusal(daemon, "PUT", f"{one}/state", {"action": "start", "timeout": 30})
        assert busy in refusal(daemon, "DELETE", one)
        assert busy in refusal(daemon, "POST", one, {"name": f"{name}-new"})
        assert busy in refusal(daemon, "POST", f"{one}/rebuild", {"source": {"type": "none"}})
        assert busy in refusal(daemon, "GET", f"{one}/files?path=/etc/hostname")
        lxc("config", "set", name, "user.a=b").ok()
        lxc("copy", name, f"{name}-second", "--storage", "default").ok()
        lxc("export", name, str(tmp_path / "packed"), "--compression", "none").ok()
    lxc("start", name).ok()
    lxc("start", f"{name}-copy").ok()


def test_a_running_source_of_directories_stops_and_starts(
    daemon: Daemon, lxc: Lxc, image: str, name: str, pool: str
) -> None:
    lxc("init", image, name, "--storage", pool).ok()
    large(files(daemon, pool, "containers", name))
    lxc("start", name).ok()
    body = {"name": f"{name}-copy", "source": {"type": "copy", "source": name}, "devices": root(pool)}
    with stuck(daemon, begun(daemon, "/1.0/instances", body)):
        lxc("stop", name, "--force").ok()
        assert BUSY.format("copy") in refusal(daemon, "DELETE", f"/1.0/instances/{name}")
        lxc("start", name).ok()
        lxc("restart", name, "--force").ok()
    lxc("start", f"{name}-copy").ok()


@contextmanager
def unread(daemon: Daemon, path: str) -> Iterator[None]:
    """Somebody asks for a backup and reads only its beginning."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.state / "unix.socket"))
        body = b'{"compression_algorithm": "none"}'
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAccept: application/octet-stream\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")
        yield


def test_an_export_that_nobody_reads(daemon: Daemon, lxc: Lxc, image: str, name: str, pool: str) -> None:
    lxc("init", image, name, "--storage", pool).ok()
    large(files(daemon, pool, "containers", name))
    one = f"/1.0/instances/{name}"
    with unread(daemon, f"{one}/backups"):
        assert BUSY.format("backup") in refusal(daemon, "PUT", f"{one}/state", {"action": "start", "timeout": 30})
        assert BUSY.format("backup") in refusal(daemon, "DELETE", one)
        lxc("copy", name, f"{name}-copy", "--storage", "default").ok()
    eventually(lambda: lxc("start", name).status == 0, what="the reading to end")


def test_a_refresh(daemon: Daemon, lxc: Lxc, image: str, name: str, pool: str) -> None:
    lxc("init", image, name, "--storage", pool).ok()
    copy = f"{name}-copy"
    lxc("copy", name, copy, "--storage", "default").ok()
    large(files(daemon, pool, "containers", name))
    body = {"name": copy, "source": {"type": "copy", "source": name, "refresh": True}}
    with stuck(daemon, begun(daemon, "/1.0/instances", body)):
        for action in ("start", "stop"):
            body = {"action": action, "timeout": 30}
            assert BUSY.format("refresh") in refusal(daemon, "PUT", f"/1.0/instances/{copy}/state", body)
        assert BUSY.format("refresh") in refusal(daemon, "PATCH", f"/1.0/instances/{copy}", {"config": {"user.a": "b"}})
        assert BUSY.format("refresh") in refusal(daemon, "POST", f"/1.0/instances/{copy}/snapshots", {"name": "s"})
        assert BUSY.format("copy") in refusal(daemon, "PUT", f"/1.0/instances/{name}/state", {"action": "start"})
    lxc("start", copy).ok()
    lxc("start", name).ok()


def volume_url(pool: str, *more: str) -> str:
    return "/".join([f"/1.0/storage-pools/{pool}/volumes/custom", *more])


def copied(daemon: Daemon, pool: str, volume: str, new: str) -> str:
    body = {"name": new, "type": "custom", "source": {"type": "copy", "name": volume, "pool": pool}}
    return begun(daemon, volume_url(pool), body)


def test_who_shows_a_volume_stops_and_starts_while_it_is_copied(
    daemon: Daemon, lxc: Lxc, running: str, name: str, pool: str
) -> None:
    lxc(*V, "create", pool, name).ok()
    lxc(*V, "attach", pool, name, running, "d", "/mnt").ok()
    large(files(daemon, pool, "custom", f"default_{name}"))
    with stuck(daemon, copied(daemon, pool, name, "copy")):
        assert daemon.operation("PUT", f"/1.0/instances/{running}/state", STOP)["err"] == ""
        assert "it is being copied" in refusal(daemon, "POST", volume_url(pool, name), {"name": "other"})
        lxc("start", running).ok()
    lxc(*V, "detach", pool, name, running, "d").ok()


def test_a_volume_that_nobody_shows(
    daemon: Daemon, lxc: Lxc, running: str, name: str, pool: str, tmp_path: Path
) -> None:
    lxc(*V, "create", pool, name).ok()
    lxc(*V, "snapshot", pool, name, "s1").ok()
    large(files(daemon, pool, "custom", f"default_{name}"))
    with stuck(daemon, copied(daemon, pool, name, "copy")):
        said = "it is being copied"
        add = ("config", "device", "add", running, "d", "disk", "path=/mnt", f"pool={pool}", f"source={name}")
        lxc(*add).failed(said)
        assert said in refusal(daemon, "DELETE", volume_url(pool, name))
        assert said in refusal(daemon, "POST", volume_url(pool, name), {"name": "other"})
        assert said in refusal(daemon, "PUT", volume_url(pool, name), {"restore": "s1"})
        assert said in refusal(daemon, "DELETE", volume_url(pool, name, "snapshots/s1"))
        assert said in refusal(daemon, "POST", volume_url(pool, name), {"name": "other", "pool": "default"})
        lxc(*V, "set", pool, name, "user.a=b").ok()
        lxc(*V, "snapshot", pool, name, "s2").ok()
        lxc(*V, "copy", f"{pool}/{name}", f"{pool}/second").ok()
        lxc(*V, "export", pool, name, str(tmp_path / "packed"), "--compression", "none").ok()
    lxc(*add).ok()
    lxc("config", "device", "remove", running, "d").ok()


def test_a_volume_that_is_refreshed(daemon: Daemon, lxc: Lxc, running: str, name: str, pool: str) -> None:
    lxc(*V, "create", pool, name).ok()
    lxc(*V, "copy", f"{pool}/{name}", f"{pool}/copy").ok()
    large(files(daemon, pool, "custom", f"default_{name}"))
    source = {"type": "copy", "name": name, "pool": pool, "refresh": True}
    url = begun(daemon, volume_url(pool), {"name": "copy", "type": "custom", "source": source})
    with stuck(daemon, url):
        said = "it is being moved, replaced or removed"
        add = ("config", "device", "add", running, "d", "disk", "path=/mnt", f"pool={pool}", "source=copy")
        lxc(*add).failed(said)
        assert said in refusal(daemon, "DELETE", volume_url(pool, "copy"))
        assert said in refusal(daemon, "PATCH", volume_url(pool, "copy"), {"config": {"user.a": "b"}})
        assert said in refusal(daemon, "POST", volume_url(pool, "copy", "snapshots"), {"name": "s"})
