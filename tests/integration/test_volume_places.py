"""Places of custom volumes: what is moved away, what is full, and who may begin to show a volume meanwhile."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

V = ("storage", "volume")
URL = "/1.0/storage-pools/default/volumes/custom"


@pytest.fixture
def pool(lxc: Lxc, name: str) -> Iterator[str]:
    """A small pool of btrfs."""
    chosen = f"b-{name}"
    made = lxc("storage", "create", chosen, "btrfs", "size=512MiB")
    if "driver" in made.stderr:
        pytest.skip(made.stderr)
    yield chosen
    lxc("storage", "delete", chosen).ok()


def moved_from(daemon: Daemon, name: str, old: str) -> None:
    """Let a volume be one that was moved, of whose old files nobody could get rid."""
    database = sqlite3.connect(daemon.state / "database/lightervisor.db")
    with database:
        database.execute("update storage_volumes set state = ? where name = ?", (f"moved default/{old}", name))
    database.close()


def test_a_volume_in_the_old_place_of_another_stays(fresh_daemon: Daemon) -> None:
    base = fresh_daemon.state / "storage-pools/default/custom"
    for name in ("new", "old"):
        assert fresh_daemon.request("POST", URL, {"name": name}).status == 200
    (base / "default_old/rootfs/note").write_text("kept")
    fresh_daemon.kill()
    moved_from(fresh_daemon, "new", "old")
    fresh_daemon.start()
    assert (base / "default_old/rootfs/note").read_text() == "kept"


def test_what_was_moved_away_makes_room(fresh_daemon: Daemon) -> None:
    base = fresh_daemon.state / "storage-pools/default/custom"
    for name in ("new", "other"):
        assert fresh_daemon.request("POST", URL, {"name": name}).status == 200
    for change in (("POST", URL, {"name": "old"}), ("POST", f"{URL}/other", {"name": "old"})):
        (base / "default_old/rootfs").mkdir(parents=True)
        (base / "default_old/rootfs/stale").touch()
        moved_from(fresh_daemon, "new", "old")
        assert fresh_daemon.request(*change).status in (200, 201)
        assert list((base / "default_old/rootfs").iterdir()) == []
        (base / "default_old/rootfs/note").write_text("kept")
        fresh_daemon.stop()
        fresh_daemon.start()
        assert (base / "default_old/rootfs/note").read_text() == "kept"
        assert fresh_daemon.request("DELETE", f"{URL}/old").status == 200


def test_a_rename_to_files_that_are_nobodys_is_refused(daemon: Daemon, lxc: Lxc, name: str) -> None:
    lxc(*V, "create", "default", name).ok()
    orphan = daemon.state / f"storage-pools/default/custom-snapshots/default_{name}-2/s1/rootfs"
    orphan.mkdir(parents=True)
    lxc(*V, "rename", "default", name, f"{name}-2").failed("that belong to no volume")
    for place in (orphan, orphan.parent, orphan.parent.parent):
        place.rmdir()
    lxc(*V, "rename", "default", name, f"{name}-2").ok()
    lxc(*V, "delete", "default", f"{name}-2").ok()


def test_a_full_volume_is_still_described(daemon: Daemon, lxc: Lxc, pool: str, name: str) -> None:
    lxc(*V, "create", pool, name, "size=8MiB").ok()
    place = daemon.state / f"storage-pools/{pool}/custom/default_{name}"
    command = "dd if=/dev/urandom of=rootfs/big bs=16k 2>/dev/null; sync -f ."
    subprocess.run(["sh", "-c", command], cwd=place, check=True)
    lxc(*V, "snapshot", pool, name, "s1").ok()
    lxc(*V, "set", pool, name, f"user.a={'b' * 200}").ok()
    lxc(*V, "rename", pool, name, f"{name}-2").ok()
    assert f"name: {name}-2" in (place.with_name(f"default_{name}-2") / "backup.yaml").read_text()
    lxc(*V, "delete", pool, f"{name}-2").ok()


def fill(daemon: Daemon, name: str) -> None:
    """So much that copying it takes seconds."""
    root = daemon.state / f"storage-pools/default/custom/default_{name}/rootfs"
    for folder in range(100):
        (root / str(folder)).mkdir()
        for number in range(200):
            (root / str(folder) / str(number)).write_text("x")


def test_who_shows_a_volume_goes_on_while_its_snapshot_is_copied(
    daemon: Daemon, lxc: Lxc, running: str, pool: str, name: str
) -> None:
    lxc(*V, "create", "default", name).ok()
    fill(daemon, name)
    lxc(*V, "snapshot", "default", name, "s1").ok()
    lxc(*V, "attach", "default", name, running, "d", "/mnt").ok()
    body = {"name": name, "source": {"type": "copy", "name": f"{name}/s1", "pool": "default"}}
    copying = daemon.request("POST", f"/1.0/storage-pools/{pool}/volumes/custom", body).metadata
    arriving = daemon.state / f"storage-pools/{pool}/trash"
    eventually(lambda: any(arriving.iterdir()), what="the snapshot to be copied")
    changed = daemon.operation("PUT", f"/1.0/instances/{running}/state", {"action": "freeze"})
    assert changed["status"] == "Success"
    assert daemon.request("GET", f"/1.0/operations/{copying['id']}").metadata["status"] == "Running"
    lxc("start", running).ok()
    assert daemon.request("GET", f"/1.0/operations/{copying['id']}/wait").metadata["status"] == "Success"
    lxc(*V, "detach", "default", name, running, "d").ok()
    lxc(*V, "delete", "default", name).ok()
    lxc(*V, "delete", pool, name).ok()


def test_no_disk_is_added_while_its_volume_moves(daemon: Daemon, lxc: Lxc, running: str, pool: str, name: str) -> None:
    lxc(*V, "create", "default", name).ok()
    fill(daemon, name)
    arriving = daemon.state / f"storage-pools/{pool}/trash"
    moving = daemon.request("POST", f"{URL}/{name}", {"name": name, "pool": pool})
    eventually(lambda: any(arriving.iterdir()), what="the volume to be copied")
    add = ("config", "device", "add", running, "d", "disk", "path=/mnt", "pool=default", f"source={name}")
    refused = lxc(*add)
    assert "it is being moved" in refused.stderr, refused
    assert moving.status == 202
    done = daemon.request("GET", f"{moving.envelope['operation'].partition('?')[0]}/wait").metadata
    assert done["status"] == "Success", done
    assert lxc("config", "device", "list", running).stdout.strip() == ""
    lxc(*V, "delete", pool, name).ok()
