"""Requests that are wrong: one clear answer with LXD's code, and nothing left behind."""

from __future__ import annotations

import http.client
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness import images, leaks
from tests.harness.daemon import Daemon, UnixConnection

WRONG_TYPES = {
    "a number for a name": ("POST", "/1.0/instances", b'{"name": 5}'),
    "a list for config": ("POST", "/1.0/instances", b'{"name": "x", "config": []}'),
    "a number in config": ("POST", "/1.0/instances", b'{"name": "x", "config": {"a": 1}}'),
    "a string for a device": ("POST", "/1.0/instances", b'{"name": "x", "devices": {"a": "b"}}'),
    "a string for profiles": ("POST", "/1.0/instances", b'{"name": "x", "profiles": "default"}'),
    "a string for a bool": ("POST", "/1.0/instances", b'{"name": "x", "ephemeral": "yes"}'),
    "a number for a source": ("POST", "/1.0/instances", b'{"name": "x", "source": 7}'),
    "a list for a source's type": ("POST", "/1.0/instances", b'{"name": "x", "source": {"type": []}}'),
    "a list for all": ("POST", "/1.0/instances", b"[]"),
    "a string for all": ("POST", "/1.0/instances", b'"x"'),
    "half of it": ("POST", "/1.0/instances", b'{"name": '),
    "not UTF-8": ("POST", "/1.0/instances", b'{"name": "a\xff"}'),
    "a deep hole": ("POST", "/1.0/instances", b"[" * 100_000),
    "a number for a network": ("POST", "/1.0/networks", b'{"name": 5}'),
    "a number for an address": ("POST", "/1.0/networks", b'{"name": "lvtx0", "config": {"ipv4.address": 5}}'),
    "an object for a profile": ("POST", "/1.0/profiles", b'{"name": {}}'),
    "a list for devices": ("PUT", "/1.0/profiles/default", b'{"devices": []}'),
    "a number for a driver": ("POST", "/1.0/storage-pools", b'{"name": "x", "driver": 5}'),
    "a number for server configuration": ("PUT", "/1.0", b'{"config": 5}'),
    "a string for a command": ("POST", "/1.0/instances/x/exec", b'{"command": "ls"}'),
    "a number for an alias": ("POST", "/1.0/images/aliases", b'{"name": 1}'),
    "a number for an image's source": ("POST", "/1.0/images", b'{"source": 5}'),
}
LISTS = ("instances", "profiles", "storage-pools", "images", "images/aliases")


def everything(daemon: Daemon) -> dict[str, Any]:
    """What there is of every kind that a bad request could have made."""
    made = {kind: daemon.request("GET", f"/1.0/{kind}").metadata for kind in LISTS}
    networks = daemon.request(
        "GET", "/1.0/networks?recursion=1"
    ).metadata  # the host's interfaces too: not ours to judge
    return {**made, "networks": [one["name"] for one in networks if one["managed"]]}


@pytest.mark.parametrize("kind", WRONG_TYPES)
def test_wrong_json_is_refused(daemon: Daemon, kind: str) -> None:
    before = everything(daemon)
    method, path, body = WRONG_TYPES[kind]
    answer = daemon.request(method, path, body, headers={"Content-Type": "application/json"})
    assert answer.status == 400, answer.body
    assert answer.error
    assert "Error" not in answer.error
    assert "Internal" not in answer.error
    assert everything(daemon) == before


@pytest.mark.parametrize("path", ["/1.0/instances", "/1.0/profiles", "/1.0/networks"])
def test_a_body_of_100_mb_is_refused_without_being_kept(daemon: Daemon, path: str) -> None:
    before, memory = everything(daemon), peak_kb(daemon)
    body = b'{"name": "x", "description": "' + b"a" * 100_000_000 + b'"}'
    answer = daemon.request("POST", path, body)
    assert answer.status == 413, answer.body
    assert "16 MiB" in answer.error
    assert everything(daemon) == before
    assert peak_kb(daemon) - memory < 60_000


def test_an_endless_body_is_refused(daemon: Daemon) -> None:
    # Its length is not told beforehand: it comes in chunks.
    connection = UnixConnection(daemon.state / "unix.socket", 30)
    try:
        connection.putrequest("POST", "/1.0/instances")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        block = b"a" * (1 << 20)
        with suppress(BrokenPipeError, ConnectionResetError):  # it has heard enough
            for _ in range(100):
                connection.send(b"%x\r\n%s\r\n" % (len(block), block))
        with suppress(http.client.HTTPException, ConnectionResetError):  # its answer is lost when we still send
            assert connection.getresponse().status == 413
    finally:
        connection.close()
    assert daemon.request("GET", "/1.0").status == 200


def peak_kb(daemon: Daemon) -> int:
    """The most memory the daemon has had."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize("etag", ["bad", '"bad"', '""', "*", "W/bad", "é" * 10])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_wrong_etag_changes_nothing(daemon: Daemon, method: str, etag: str) -> None:
    path = "/1.0/profiles/default"
    before = daemon.request("GET", path).metadata
    sent = etag.encode().decode("latin-1")
    answer = daemon.request(method, path, {"description": "changed"}, headers={"If-Match": sent})
    assert answer.status == 412, answer.body
    assert answer.error.startswith("ETag doesn't match: ")
    assert daemon.request("GET", path).metadata == before


def test_a_websocket_of_no_operation_is_not_found(daemon: Daemon) -> None:
    for headers in ({}, {"Connection": "Upgrade", "Upgrade": "websocket"}):
        path = "/1.0/operations/00000000-0000-0000-0000-000000000000/websocket?secret=x"
        answer = daemon.request("GET", path, headers=headers)
        assert (answer.status, answer.error) == (404, "Operation not found")


INITS = {
    "none at all": (None, "/sbin/init does not exist"),
    "one that ends at once": (b"#!/bin/busybox sh\nexit 3\n", "init"),
    "one that is no program": (b"\x00\x01\x02", "init"),
    "one whose interpreter is missing": (b"#!/no/such/program\n", "/no/such/program"),
}


@pytest.mark.parametrize("kind", INITS)
def test_an_init_that_does_not_run_is_the_reason_that_is_given(
    daemon: Daemon, name: str, tmp_path: Path, kind: str
) -> None:
    init, told = INITS[kind]
    fingerprint = image_with_init(daemon, tmp_path / "image.tar.gz", init)
    body = {"name": name, "source": {"type": "image", "fingerprint": fingerprint}}
    assert daemon.operation("POST", "/1.0/instances", body)["status"] == "Success"
    started = daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})
    if started["status"] == "Success":  # it ran for a moment, which is a start and a stop
        assert kind == "one that ends at once"
    else:
        assert told in started["err"]
        assert "Internal" not in started["err"]
    assert [line for line in leaks.of_stopped(daemon, name) if "link:" not in line] == []
    assert daemon.operation("DELETE", f"/1.0/instances/{name}")["status"] == "Success"
    assert [line for line in leaks.of_instance(daemon, name) if "link:" not in line] == []
    daemon.operation("DELETE", f"/1.0/images/{fingerprint}")


def image_with_init(daemon: Daemon, path: Path, init: bytes | None) -> str:
    """Upload an image whose /sbin/init is this; its fingerprint."""
    with tarfile.open(path, "w:gz") as archive:
        images.add_file(archive, "metadata.yaml", images.METADATA.encode())
        for folder in ("rootfs", *(f"rootfs/{one}" for one in images.FOLDERS)):
            images.add_folder(archive, folder)
        images.add_file(archive, "rootfs/bin/busybox", images.BUSYBOX.read_bytes(), 0o755)
        if init is not None:
            images.add_file(archive, "rootfs/sbin/init", init, 0o755)
    added = daemon.operation("POST", "/1.0/images", path.read_bytes())
    assert added["status"] == "Success", added
    return added["metadata"]["fingerprint"]


def test_an_empty_instance_says_why_it_does_not_start(daemon: Daemon, name: str) -> None:
    assert daemon.operation("POST", "/1.0/instances", {"name": name, "source": {"type": "none"}})["status"] == "Success"
    started = daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})
    assert started["status"] == "Failure"
    assert "init" in started["err"]
    assert daemon.operation("DELETE", f"/1.0/instances/{name}")["status"] == "Success"
    assert [line for line in leaks.of_instance(daemon, name) if "link:" not in line] == []


def test_a_device_that_cannot_be_started_leaves_nothing(daemon: Daemon, image: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    devices = {"gone": {"type": "disk", "source": str(folder), "path": "/mnt"}}
    body = {"name": name, "source": {"type": "image", "alias": image}, "devices": devices}
    assert daemon.operation("POST", "/1.0/instances", body)["status"] == "Success"
    folder.rmdir()
    started = daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})
    assert started["status"] == "Failure"
    assert str(folder) in started["err"]
    assert [line for line in leaks.of_stopped(daemon, name) if "link:" not in line] == []
