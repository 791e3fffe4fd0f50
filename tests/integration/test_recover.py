"""`lxd recover`: the database is gone, and everything in the pools comes back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import home
from tests.harness import images
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon


@pytest.fixture
def lxc(fresh_daemon: Daemon, tmp_path: Path) -> Lxc:
    """A client of the daemon whose database is to be lost, which has an image."""
    client = Lxc(OURS, fresh_daemon.env, home(tmp_path / "home"))
    client("image", "import", images.unified(tmp_path / "image.tar.gz"), "--alias", "box").ok()
    return client


def populate(daemon: Daemon, lxc: Lxc) -> None:
    """Instances in an overlay and a dir pool, with snapshots, a profile, and a custom volume that one of them shows."""
    lxc("storage", "create", "plain", "dir").ok()
    lxc("storage", "volume", "create", "plain", "data", "user.note=data", "snapshots.expiry=3d").ok()
    lxc("storage", "volume", "snapshot", "plain", "data", "s1").ok()
    lxc("storage", "volume", "set", "plain", "data", "user.note=later").ok()
    lxc("profile", "create", "quiet").ok()
    lxc("profile", "set", "quiet", "user.quiet=yes").ok()
    for name, pool in (("c1", "default"), ("c2", "plain")):
        lxc("launch", "box", name, "--storage", pool, "-p", "default", "-p", "quiet", "-c", "user.note=one").ok()
        lxc.run(name, "sh", "-c", "echo one >/root/mark")
        lxc("snapshot", name, "s1").ok()
        lxc("config", "set", name, "user.note=two").ok()
        lxc.run(name, "sh", "-c", "echo two >/root/mark")
    lxc("storage", "volume", "attach", "plain", "data", "c1", "data", "/data").ok()
    lxc.run("c1", "sh", "-c", "echo kept >/data/file")
    lxc("stop", "c1", "c2", "--force").ok()


def lose_database(daemon: Daemon) -> None:
    daemon.stop()
    shutil.rmtree(daemon.state / "database")
    daemon.start()
    assert daemon.instance_names() == []


def configs(daemon: Daemon) -> dict[str, object]:
    """What there is, but for the state of power, which is not noted in the pool at each stop."""
    listed = daemon.request("GET", "/1.0/instances?recursion=2").metadata
    found: dict[str, object] = {}
    for one in listed:
        one["config"].pop("volatile.last_state.power", None)
        kept = {key: one[key] for key in ("config", "devices", "profiles", "created_at", "description", "architecture")}
        snapshots = [
            {key: shot[key] for key in ("name", "config", "devices", "profiles", "created_at")}
            for shot in one["snapshots"] or []
        ]
        found[one["name"]] = json.loads(json.dumps([kept, snapshots]))
    return found


def check(daemon: Daemon, lxc: Lxc) -> None:
    """Everything is there, and works."""
    lxc("start", "c1", "c2").ok()
    assert lxc.run("c1", "cat", "/root/mark", "/data/file").stdout == "two\nkept\n"
    assert lxc.run("c2", "cat", "/root/mark").stdout == "two\n"
    for name in ("c1", "c2"):
        lxc("restore", name, "s1").ok()
        assert lxc.run(name, "cat", "/root/mark").stdout == "one\n"
        lxc("delete", f"{name}/s1").ok()
    volumes = daemon.request("GET", "/1.0/storage-pools/plain/volumes/custom").metadata
    url = "/1.0/storage-pools/plain/volumes/custom/data"
    assert volumes == [url, f"{url}/snapshots/s1"]
    config = daemon.request("GET", url).metadata["config"]
    assert config == {"user.note": "later", "snapshots.expiry": "3d"}
    kept = daemon.request("GET", f"{url}/snapshots/s1").metadata
    assert kept["config"]["user.note"] == "data" and not kept["expires_at"].startswith("0001")


def test_everything_comes_back_by_itself(fresh_daemon: Daemon, lxc: Lxc) -> None:
    populate(fresh_daemon, lxc)
    before = configs(fresh_daemon)
    profiles = fresh_daemon.request("GET", "/1.0/profiles?recursion=1").metadata
    network = fresh_daemon.request("GET", f"/1.0/networks/{fresh_daemon.bridge}").metadata
    lose_database(fresh_daemon)
    said = fresh_daemon.run("recover", "--auto").ok().stdout
    for line in (
        ' - NEW: "default" (backend="overlay"',
        ' - Container "c1" on pool "default" in project "default" (includes 1 snapshots)',
        ' - Volume "data" on pool "plain" in project "default" (includes 1 snapshots)',
        "Starting recovery...",
    ):
        assert line in said
    assert configs(fresh_daemon) == before
    assert fresh_daemon.request("GET", "/1.0/profiles?recursion=1").metadata == profiles
    assert fresh_daemon.request("GET", f"/1.0/networks/{fresh_daemon.bridge}").metadata == network
    assert fresh_daemon.run("recover", "--auto").ok().stdout == "No unknown volumes found. Nothing to do.\n"
    check(fresh_daemon, lxc)


def test_a_person_is_asked_as_lxd_asks(fresh_daemon: Daemon, lxc: Lxc) -> None:
    populate(fresh_daemon, lxc)
    lose_database(fresh_daemon)
    root = fresh_daemon.state / "storage-pools"
    pools = f"yes\ndefault\nnope\noverlay\n{root}/default\n\nyes\nplain\ndir\n{root}/plain\n\nno\nyes\n"
    refused = fresh_daemon.run("recover", stdin=pools)
    assert refused.status == 1
    assert "You are currently missing the following:\n" in refused.stdout
    assert f' - Network "{fresh_daemon.bridge}" in project "default"\n' in refused.stdout
    assert ' - Profile "quiet" in project "default"\n' in refused.stdout
    assert fresh_daemon.request("GET", "/1.0/storage-pools").metadata == []
    lxc("profile", "create", "quiet").ok()
    body = {"name": fresh_daemon.bridge, "config": {"ipv4.address": "auto", "ipv6.address": "none"}}
    assert fresh_daemon.request("POST", "/1.0/networks", body).status == 201
    declined = fresh_daemon.run("recover", stdin=f"{pools}no\n").ok().stdout
    assert f' - NEW: "plain" (backend="dir", source="{root}/plain")\n' in declined
    assert fresh_daemon.instance_names() == []
    assert fresh_daemon.run("recover", stdin=f"{pools}yes\n").ok().stdout.endswith("Starting recovery...\n")
    again = fresh_daemon.run("recover", stdin="no\nyes\n").ok().stdout
    assert f' - EXISTING: "plain" (backend="dir", source="{root}/plain")\n' in again
    assert again.endswith("No unknown volumes found. Nothing to do.\n")
    check(fresh_daemon, lxc)


def test_what_runs_goes_on_and_is_watched_again(fresh_daemon: Daemon, lxc: Lxc) -> None:
    lxc("launch", "box", "c1").ok()
    pid = fresh_daemon.request("GET", "/1.0/instances/c1/state").metadata["pid"]
    lose_database(fresh_daemon)
    fresh_daemon.run("recover", "--auto").ok()
    state = fresh_daemon.request("GET", "/1.0/instances/c1/state").metadata
    assert (state["status"], state["pid"]) == ("Running", pid)
    assert lxc.run("c1", "echo", "here").stdout == "here\n"
    lxc("restart", "c1", "--force").ok()


def test_what_cannot_be_used_is_told_and_left_alone(fresh_daemon: Daemon, lxc: Lxc) -> None:
    for name in ("c1", "c2", "c3"):
        lxc("init", "box", name).ok()
    containers = fresh_daemon.state / "storage-pools/default/containers"
    lose_database(fresh_daemon)
    (containers / "c1/backup.yaml").unlink()
    (containers / "c2/backup.yaml").unlink()
    (containers / "c2/backup.yaml").write_text("container: &a [*a]\n")
    done = fresh_daemon.run("recover", "--auto").ok()
    assert 'Cannot be recovered: Container "c1" in project "default": it has no backup.yaml' in done.stderr
    assert 'Container "c2" in project "default": Instance: backup.yaml uses YAML aliases' in done.stderr
    assert fresh_daemon.instance_names() == ["c3"]
    assert (containers / "c1/volume.json").exists()
    for name in ("c1", "c2"):
        shutil.rmtree(containers / name)


def test_a_source_elsewhere_comes_back(fresh_daemon: Daemon, lxc: Lxc) -> None:
    elsewhere = Path(f"{fresh_daemon.state}-elsewhere")
    elsewhere.mkdir(mode=0o711)
    try:
        lxc("storage", "create", "away", "dir", f"source={elsewhere}").ok()
        lxc("init", "box", "c1", "--storage", "away").ok()
        lose_database(fresh_daemon)
        fresh_daemon.run("recover", "--auto").ok()
        config = fresh_daemon.request("GET", "/1.0/storage-pools/away").metadata["config"]
        assert config["source"] == str(elsewhere)
        lxc("start", "c1").ok()
        lxc("delete", "c1", "--force").ok()
        lxc("storage", "delete", "away").ok()
    finally:
        shutil.rmtree(elsewhere)


def test_pools_that_are_none_are_refused(fresh_daemon: Daemon) -> None:
    for pool, status, text in (
        ({"name": "x", "driver": "dir", "config": {"source": "/nonexistent"}}, 404, "holds no storage pool"),
        ({"name": "x/y", "driver": "dir"}, 400, "may not contain slashes"),
        ({"name": "x", "driver": "nope"}, 400, 'Unknown driver "nope"'),
        ({"name": "x", "driver": "dir", "config": {"no": "no"}}, 400, 'Invalid option "no"'),
    ):
        for verb in ("validate", "import"):
            answer = fresh_daemon.request("POST", f"/internal/recover/{verb}", {"Pools": [pool]})
            assert answer.status == status
            assert text in answer.error
