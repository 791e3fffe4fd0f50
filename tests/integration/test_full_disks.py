"""Copies, moves, imports, transfers, snapshots, backups and images without space: that is told, and nothing is left."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import conftest
from tests.harness import images, leaks
from tests.harness.certificates import make
from tests.harness.daemon import Daemon
from tests.harness.full_disks import filled, small_disk
from tests.harness.network import listen

MIB = 1 << 20
SMALL = "small"
PATH = "/1.0/instances/c1"
START, STOP = {"action": "start", "timeout": 30}, {"action": "stop", "force": True, "timeout": 30}
watched = contextmanager(conftest.watched)


@pytest.fixture(autouse=True)
def own(request: pytest.FixtureRequest) -> None:
    """None of this can be done to a daemon of somebody else."""
    if request.config.getoption("--against"):
        pytest.skip("starts daemons of its own")


def done(daemon: Daemon, method: str, path: str, body: object = None) -> dict[str, Any]:
    """The metadata of an operation that succeeds."""
    ended = daemon.operation(method, path, body)
    assert ended["status"] == "Success", ended["err"]
    return ended["metadata"] or {}


def error(daemon: Daemon, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> str:
    """What goes wrong with a request or its operation, "" when nothing does."""
    answer = daemon.request(method, path, body, headers=headers)
    if answer.status != 202:
        return answer.error
    return daemon.request("GET", f"{answer.envelope['operation']}/wait").metadata["err"]


def add_image(daemon: Daemon, folder: Path) -> str:
    """An image that boots; its fingerprint."""
    packed = images.unified(folder / "image.tar.gz").read_bytes()
    return done(daemon, "POST", "/1.0/images", packed)["fingerprint"]


def fill_instance(daemon: Daemon, name: str = "c1") -> bytes:
    """Write so much into an instance that a full disk has no place for it; what it is."""
    data = os.urandom(3 * MIB)
    headers = {"X-LXD-type": "file", "Content-Type": "application/octet-stream"}
    answer = daemon.request("POST", f"/1.0/instances/{name}/files?path=/large", data, headers=headers)
    assert answer.status == 200, answer.error
    return data


def large(daemon: Daemon, name: str) -> bytes:
    return daemon.request("GET", f"/1.0/instances/{name}/files?path=/large").body


def root(pool: str) -> dict[str, dict[str, str]]:
    return {"root": {"type": "disk", "path": "/", "pool": pool}}


class Full:
    """A daemon with the instance `c1` and a pool on a small disk."""

    def __init__(self, daemon: Daemon, place: Path) -> None:
        self.daemon, self.place, self.data = daemon, place, b""
        self.new = f"b-{daemon.bridge}"  # cgroups have the names of containers, whichever daemon they are of
        self.path = f"/1.0/instances/{self.new}"

    def refused_once(self, method: str, path: str, body: object, headers: dict[str, str]) -> None:
        """What makes an instance in the small pool fails for want of space, leaves nothing, and succeeds with space."""
        with filled(self.place):
            said = error(self.daemon, method, path, body, headers)
            assert "o space" in said, said
            assert leaks.of_instance(self.daemon, self.new) == []
            assert self.new not in self.daemon.instance_names()
        assert error(self.daemon, method, path, body, headers) == ""
        assert large(self.daemon, self.new) == self.data
        done(self.daemon, "DELETE", self.path)


@pytest.fixture(scope="module", params=["overlay", "dir"])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    """With a small pool of each driver."""
    folder = tmp_path_factory.mktemp("full")
    folder.chmod(0o711)
    source = folder / "source"
    source.mkdir()
    with small_disk(source, "24m"), watched(lambda daemon: daemon.start().initialise()) as daemon:
        fingerprint = add_image(daemon, folder)
        pool = {"name": SMALL, "driver": request.param, "config": {"source": str(source)}}
        assert daemon.request("POST", "/1.0/storage-pools", pool).status == 201
        made = {"name": "c1", "source": {"type": "image", "fingerprint": fingerprint}}
        done(daemon, "POST", "/1.0/instances", made)
        full = Full(daemon, source)
        full.data = fill_instance(daemon)
        yield full


def test_a_copy(full: Full) -> None:
    body = {"name": full.new, "source": {"type": "copy", "source": "c1"}, "devices": root(SMALL)}
    full.refused_once("POST", "/1.0/instances", body, {})


def test_an_import(full: Full) -> None:
    done(full.daemon, "POST", f"{PATH}/backups", {"name": "b1", "compression_algorithm": "none"})
    packed = full.daemon.request("GET", f"{PATH}/backups/b1/export").body
    done(full.daemon, "DELETE", f"{PATH}/backups/b1")
    headers = {"Content-Type": "application/octet-stream", "X-LXD-name": full.new, "X-LXD-pool": SMALL}
    full.refused_once("POST", "/1.0/instances", packed, headers)
    assert list((full.daemon.state / "backups/.incoming").iterdir()) == []


def test_an_instance_from_another_server(full: Full) -> None:
    daemon, identity = full.daemon, make("root@full")
    trusted = {"type": "client", "name": "full", "certificate": base64.b64encode(identity.der).decode()}
    assert daemon.request("POST", "/1.0/certificates", trusted).status == 201
    listen(daemon)
    environment = daemon.request("GET", "/1.0").metadata["environment"]

    def body() -> dict[str, Any]:
        sent = daemon.request("POST", PATH, {"name": "c1", "migration": True}).metadata
        source = {
            "type": "migration",
            "mode": "pull",
            "operation": f"https://{environment['addresses'][0]}/1.0/operations/{sent['id']}",
            "certificate": environment["certificate"],
            "secrets": sent["metadata"],
        }
        return {"name": full.new, "source": source, "devices": root(SMALL)}

    with filled(full.place):
        said = error(daemon, "POST", "/1.0/instances", body())
        assert "o space" in said, said
        assert leaks.of_instance(daemon, full.new) == []
        assert full.new not in daemon.instance_names()
    done(daemon, "POST", "/1.0/instances", body())
    assert large(daemon, full.new) == large(daemon, "c1")
    done(daemon, "DELETE", full.path)


def test_a_move(full: Full) -> None:
    body = {"name": "c1", "migration": True, "pool": SMALL}
    before = large(full.daemon, "c1")
    with filled(full.place):
        said = error(full.daemon, "POST", PATH, body)
        assert "o space" in said, said
        assert large(full.daemon, "c1") == before
        assert list((full.place / "containers").iterdir()) == []
    for pool in (SMALL, "default"):
        done(full.daemon, "POST", PATH, {**body, "pool": pool})
        assert large(full.daemon, "c1") == before


def test_a_refresh(full: Full) -> None:
    body = {"name": full.new, "source": {"type": "copy", "source": "c1"}, "devices": root(SMALL)}
    again = {**body, "source": {"type": "copy", "source": "c1", "refresh": True}}
    done(full.daemon, "POST", "/1.0/instances", body)
    before, full.data = full.data, fill_instance(full.daemon)
    with filled(full.place):
        said = error(full.daemon, "POST", "/1.0/instances", again)
        assert "o space" in said, said
        assert large(full.daemon, full.new) == before
    done(full.daemon, "POST", "/1.0/instances", again)
    assert large(full.daemon, full.new) == full.data
    done(full.daemon, "DELETE", full.path)


def test_a_snapshot_of_what_runs(full: Full) -> None:
    body = {"name": full.new, "source": {"type": "copy", "source": "c1"}, "devices": root(SMALL)}
    done(full.daemon, "POST", "/1.0/instances", body)
    done(full.daemon, "PUT", f"{full.path}/state", START)
    data = fill_instance(full.daemon, full.new)
    with filled(full.place):
        said = error(full.daemon, "POST", f"{full.path}/snapshots", {"name": "s1"})
        assert "o space" in said, said
        assert full.daemon.request("GET", f"{full.path}/snapshots").metadata == []
        assert full.daemon.request("GET", full.path).metadata["status"] == "Running"
        assert list((full.place / "containers-snapshots").glob("*/*")) == []
    done(full.daemon, "POST", f"{full.path}/snapshots", {"name": "s1"})
    assert large(full.daemon, full.new) == data
    done(full.daemon, "PUT", f"{full.path}/state", STOP)
    done(full.daemon, "DELETE", full.path)


def test_backups_and_images_below_the_daemon(tmp_path: Path) -> None:
    prepared = Daemon()
    disk = prepared.state
    with small_disk(disk, "48m"):
        prepared.state = disk / "state"
        with watched(lambda daemon: daemon.start().initialise(), prepared) as daemon:
            made = {"name": "c1", "source": {"type": "image", "fingerprint": add_image(daemon, tmp_path)}}
            done(daemon, "POST", "/1.0/instances", made)
            data = fill_instance(daemon)
            requests: list[tuple[str, object]] = [
                (f"{PATH}/backups", {"name": "b1", "compression_algorithm": "none"}),
                ("/1.0/images", {"source": {"type": "instance", "name": "c1"}, "compression_algorithm": "gzip"}),
            ]
            places = [daemon.state / "backups/instances", daemon.state / "backups/.incoming", daemon.state / "images"]
            before = [sorted(place.rglob("*")) for place in places]
            with filled(disk, but_bytes=MIB):
                for path, body in requests:
                    said = error(daemon, "POST", path, body)
                    assert "o space" in said, said
                assert [sorted(place.rglob("*")) for place in places] == before
                assert daemon.request("GET", f"{PATH}/backups").metadata == []
                assert large(daemon, "c1") == data
            for path, body in requests:
                done(daemon, "POST", path, body)
