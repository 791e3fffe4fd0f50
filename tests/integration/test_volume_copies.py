"""Custom volumes copied, refreshed and moved on one server, between pools of each driver, with both clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

V = ("storage", "volume")


@pytest.fixture(params=["overlay", "dir", "btrfs"])
def pool(request: pytest.FixtureRequest, lxc: Lxc, name: str) -> Iterator[str]:
    """A pool of each driver."""
    chosen = f"p-{name}"
    lxc("storage", "create", chosen, request.param, *(["size=512MiB"] if request.param == "btrfs" else [])).ok()
    yield chosen
    empty(lxc, chosen)
    lxc("storage", "delete", chosen).ok()


@pytest.fixture
def source(daemon: Daemon, lxc: Lxc, name: str) -> Iterator[str]:
    """A volume of the default pool with two snapshots; each has a file that says which it is."""
    chosen = f"v-{name}"
    lxc(*V, "create", "default", chosen, "user.a=b").ok()
    for moment in ("s1", "s2"):
        (root(daemon, "default", chosen) / "file").write_text(moment)
        lxc(*V, "snapshot", "default", chosen, moment).ok()
    (root(daemon, "default", chosen) / "file").write_text("now")
    (root(daemon, "default", chosen) / "file").chmod(0o4711)
    yield chosen
    empty(lxc, "default")


def empty(lxc: Lxc, pool: str) -> None:
    for line in lxc(*V, "list", pool, "-f", "csv", "-c", "tn").ok().stdout.splitlines():
        if line.startswith("custom,"):
            lxc(*V, "delete", pool, line.partition(",")[2]).ok()


def root(daemon: Daemon, pool: str, volume: str, snapshot: str = "") -> Path:
    folder = f"custom-snapshots/default_{volume}/{snapshot}" if snapshot else f"custom/default_{volume}"
    return daemon.state / "storage-pools" / pool / folder / "rootfs"


def held(daemon: Daemon, pool: str, volume: str) -> dict[str, str]:
    """What the file says in a volume, by "", and in its snapshots."""
    url = f"/1.0/storage-pools/{pool}/volumes/custom/{volume}/snapshots"
    names = [one["name"].partition("/")[2] for one in daemon.request("GET", f"{url}?recursion=1").metadata]
    return {name: (root(daemon, pool, volume, name) / "file").read_text() for name in ["", *names]}


def test_copies(either: Lxc, lxc: Lxc, daemon: Daemon, pool: str, source: str) -> None:
    said = "Storage volume copied successfully!\n"
    whole = {"": "now", "s1": "s1", "s2": "s2"}
    for target in ("default", pool):
        assert either(*V, "copy", f"default/{source}", f"{target}/{source}-2").ok().stdout.endswith(said)
        assert held(daemon, target, f"{source}-2") == whole
        assert (root(daemon, target, f"{source}-2") / "file").stat().st_mode & 0o7777 == 0o4711
        assert either(*V, "get", target, f"{source}-2", "user.a").ok().stdout == "b\n"
        description = (root(daemon, target, f"{source}-2").parent / "backup.yaml").read_text()
        assert f"name: {source}-2" in description and "name: s1" in description
        either(*V, "copy", f"default/{source}", f"{target}/{source}-2").failed("Volume by that name already exists")
        either(*V, "copy", f"default/{source}/s1", f"{target}/{source}-3").ok()
        assert held(daemon, target, f"{source}-3") == {"": "s1"}
        either(*V, "copy", f"default/{source}", f"{target}/{source}-4", "--volume-only").ok()
        assert held(daemon, target, f"{source}-4") == {"": "now"}
    (root(daemon, pool, f"{source}-2") / "file").write_text("other")
    assert held(daemon, "default", source) == held(daemon, "default", f"{source}-2") == whole
    either(*V, "copy", f"default/{source}-nosuch", f"{pool}/x").failed("Storage pool volume not found")
    either(*V, "copy", f"default/{source}", "nosuch/x").failed("Storage pool not found")
    either(*V, "copy", source, f"{pool}/x").failed("No storage pool for source volume specified")
    either(*V, "copy", f"default/{source}", pool).failed("No storage pool for target volume specified")
    lxc(*V, "copy", f"default/{source}", f"{pool}/x", "--mode=bogus").failed("Invalid mode")
    url = f"/1.0/storage-pools/{pool}/volumes/custom"
    bogus = daemon.request("POST", url, {"name": "x", "source": {"type": "bogus", "name": source}})
    assert bogus.error == 'Unknown source type "bogus"'


def test_a_copy_is_refreshed(either: Lxc, lxc: Lxc, daemon: Daemon, pool: str, source: str, running: str) -> None:
    either(*V, "copy", f"default/{source}", f"{pool}/copy", "--refresh").ok()  # it is not there yet
    lxc(*V, "delete", "default", f"{source}/s1").ok()
    lxc(*V, "snapshot", "default", source, "s3").ok()
    lxc(*V, "snapshot", "default", source, "s2", "--reuse").ok()
    (root(daemon, "default", source) / "file").write_text("later")
    (root(daemon, "default", source) / "more").write_text("more")
    (root(daemon, pool, "copy") / "odd").write_text("not in the source")
    either(*V, "copy", f"default/{source}", f"{pool}/copy", "--refresh").ok()
    assert held(daemon, pool, "copy") == {"": "later", "s3": "now", "s2": "now"}
    assert sorted(one.name for one in root(daemon, pool, "copy").iterdir()) == ["file", "more"]
    assert "name: s3" in (root(daemon, pool, "copy").parent / "backup.yaml").read_text()
    lxc(*V, "attach", pool, "copy", running, "d", "/data").ok()
    try:
        either(*V, "copy", f"default/{source}", f"{pool}/copy", "--refresh").failed("still in use by running instances")
        lxc("exec", running, "--", "sh", "-c", "echo written >/data/file").ok()
        either(*V, "copy", f"{pool}/copy", f"default/{source}-2").ok()  # the source may be in use
        assert held(daemon, "default", f"{source}-2")[""] == "written\n"
        lxc(*V, "move", f"{pool}/copy", f"default/{source}-3").failed("still in use by running instances")
    finally:
        lxc(*V, "detach", pool, "copy", running).ok()


def test_moves(either: Lxc, lxc: Lxc, daemon: Daemon, pool: str, source: str, image: str, name: str) -> None:
    said, whole = "Storage volume moved successfully!\n", {"": "now", "s1": "s1", "s2": "s2"}
    lxc("init", image, name).ok()
    try:
        assert either(*V, "move", f"default/{source}", f"default/{source}-2").ok().stdout.endswith(said)
        assert held(daemon, "default", f"{source}-2") == whole
        assert either(*V, "move", f"default/{source}-2", f"{pool}/{source}").ok().stdout.endswith(said)
        assert held(daemon, pool, source) == whole
        lxc(*V, "attach", pool, source, name, "d", "/data").ok()
        lxc(*V, "move", f"{pool}/{source}", f"default/{source}-2").ok()  # the stock one copies and deletes
        lxc(*V, "move", f"default/{source}-2", f"{pool}/moved").ok()
        assert held(daemon, pool, "moved") == whole
        assert not root(daemon, "default", f"{source}-2").parent.exists()
        assert not root(daemon, "default", f"{source}-2", "s1").parents[1].exists()
        device = daemon.request("GET", f"/1.0/instances/{name}").metadata["devices"]["d"]
        assert (device["pool"], device["source"]) == (pool, "moved")
        backup = (daemon.state / f"storage-pools/default/containers/{name}/backup.yaml").read_text()
        assert f"pool: {pool}" in backup and "source: moved" in backup
        lxc("start", name).ok()
        assert lxc.run(name, "cat", "/data/file").stdout == "now"
        lxc("stop", "--force", name).ok()
    finally:
        lxc("delete", "--force", name).ok()
    lxc(*V, "create", "default", source).ok()
    either(*V, "move", f"{pool}/moved", f"default/{source}").failed("Volume by that name already exists")
    either(*V, "move", f"{pool}/moved/s1", f"default/{source}-5").ok()
    assert held(daemon, "default", f"{source}-5") == {"": "s1"}
    url = f"/1.0/storage-pools/{pool}/volumes/custom/moved/snapshots"
    # The stock client does not wait for its end.
    eventually(lambda: len(daemon.request("GET", url).metadata) == 1, what="the end of the snapshot that was moved")
    assert list(held(daemon, pool, "moved")) == ["", "s2"]


def test_a_copy_that_is_cancelled_leaves_nothing(daemon: Daemon, lxc: Lxc, pool: str, source: str) -> None:
    for number in range(2000):
        (root(daemon, "default", source) / f"file{number}").write_bytes(b"x" * 5000)
    body = {"name": "copy", "source": {"type": "copy", "name": source, "pool": "default"}}
    url = f"/1.0/storage-pools/{pool}/volumes/custom"
    started = daemon.request("POST", url, body).metadata
    path = f"/1.0/operations/{started['id']}"
    assert daemon.request("DELETE", path).status == 200
    ended = daemon.request("GET", f"{path}/wait").metadata
    assert ended["status"] == "Cancelled", ended
    assert daemon.request("GET", url).metadata == []
    place = daemon.state / f"storage-pools/{pool}"
    assert not list((place / "custom").iterdir()) and not list((place / "custom-snapshots").iterdir())
    eventually(lambda: not list((place / "trash").iterdir()), what="the trash to be emptied")
    lxc(*V, "copy", f"default/{source}", f"{pool}/copy").ok()
