"""Copies, refreshed copies and moves between the pools of one server, through both `lxc` programs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import discard
from tests.harness import leaks
from tests.harness.client import ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.integration.test_copies import IDENTITY, copied, note, shown, write


@pytest.fixture(params=["dir", "overlay"])
def pool(request: pytest.FixtureRequest, daemon: Daemon, name: str) -> Iterator[str]:
    """Another pool."""
    other = f"p-{name}"
    assert daemon.request("POST", "/1.0/storage-pools", {"name": other, "driver": request.param}).status == 201
    yield other
    for made in daemon.instance_names():
        if made == name or made.startswith(f"{name}-"):
            discard(daemon, made)
    assert daemon.request("DELETE", f"/1.0/storage-pools/{other}").status == 200


def pool_of(daemon: Daemon, name: str) -> str:
    return shown(daemon, name)["expanded_devices"]["root"]["pool"]


def snapshots(daemon: Daemon, name: str) -> dict[str, str]:
    """The pool of the root disk of each snapshot."""
    listed = daemon.request("GET", f"/1.0/instances/{name}/snapshots?recursion=1").metadata
    return {one["name"]: one["expanded_devices"]["root"]["pool"] for one in listed}


def with_snapshot(lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    write(lxc, name, "one")
    lxc.snapshot(name, "first")
    write(lxc, name, "two")


def test_a_copy_in_another_pool_and_back(either: Lxc, daemon: Daemon, image: str, name: str, pool: str) -> None:
    there, back = f"{name}-there", f"{name}-back"
    with_snapshot(either, image, name)
    either.say("copy", name, there, "--storage", pool)
    either.say("copy", there, back, "--storage", "default")
    for copy, where in ((there, pool), (back, "default")):
        assert (pool_of(daemon, copy), snapshots(daemon, copy)) == (where, {"first": where})
        either.change_state(copy, "start")
        assert either.run(copy, "cat", "/root/note").stdout == "two"
        either.restore(copy, "first")
        assert either.run(copy, "cat", "/root/note").stdout == "one"


def test_an_instance_moves_to_another_pool(either: Lxc, daemon: Daemon, image: str, name: str, pool: str) -> None:
    with_snapshot(either, image, name)
    identity = {key: shown(daemon, name)["config"][key] for key in IDENTITY}
    either.say("move", name, "--storage", pool)
    assert (pool_of(daemon, name), snapshots(daemon, name)) == (pool, {"first": pool})
    assert {key: shown(daemon, name)["config"][key] for key in IDENTITY} == identity
    assert not (daemon.state / f"storage-pools/default/containers/{name}").exists()
    assert not (daemon.state / f"storage-pools/default/containers-snapshots/{name}").exists()
    either.say("move", name, "--storage", pool)  # it is there already
    either.say("move", name, f"{name}-new", "--storage", "default")
    assert leaks.of_instance(daemon, name) == []
    either.change_state(f"{name}-new", "start")
    assert either.run(f"{name}-new", "cat", "/root/note").stdout == "two"
    assert either.run(f"{name}-new", "hostname").stdout.strip() == f"{name}-new"
    either.restore(f"{name}-new", "first")
    assert either.run(f"{name}-new", "cat", "/root/note").stdout == "one"


def test_a_running_instance_is_not_moved(either: Lxc, daemon: Daemon, running: str, pool: str) -> None:
    done = either("move", running, "--storage", pool)
    assert done.status == 1
    assert "Instance must be stopped to move between pools statelessly" in done.stderr
    assert (pool_of(daemon, running), either.statuses()[running]) == ("default", "Running")
    assert not (daemon.state / f"storage-pools/{pool}/containers/{running}").exists()


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_copy_is_refreshed(either: Lxc, daemon: Daemon, image: str, name: str, pool: str, where: str) -> None:
    copy, target = f"{name}-copy", pool if where == "there" else "default"
    with_snapshot(either, image, name)
    either.say("copy", name, copy, *([] if where == "here" else ["--storage", target]))
    identity = {key: shown(daemon, copy)["config"][key] for key in IDENTITY}
    either.say("delete", f"{name}/first")
    either.snapshot(name, "second")
    write(either, name, "three")
    either.set_config(name, "user.note", "three")
    either.snapshot(copy, "own")
    write(either, copy, "mine")
    if where == "here" or "stock" not in str(either.env["HOME"]):  # LXD's client wants to change the pool back
        either.say("copy", name, copy, "--refresh")
        assert either.config(copy)["user.note"] == "three"
    else:
        assert copied(daemon, name, copy, refresh=True)["err"] == ""
    assert note(either, copy) == "three"
    assert snapshots(daemon, copy) == {"second": target}
    assert {key: shown(daemon, copy)["config"][key] for key in IDENTITY} == identity
    assert pool_of(daemon, copy) == target
    either.restore(copy, "second")
    assert note(either, copy) == "two"
    either.change_state(copy, "start")
    refused = copied(daemon, name, copy, refresh=True)
    assert refused["err"].startswith("Failed getting exclusive access to instance: Instance is running")


def test_a_refresh_without_a_copy_makes_one(either: Lxc, daemon: Daemon, image: str, name: str) -> None:
    with_snapshot(either, image, name)
    either.say("copy", name, f"{name}-copy", "--refresh")
    assert note(either, f"{name}-copy") == "two"
    for key in IDENTITY:
        assert shown(daemon, f"{name}-copy")["config"][key] != shown(daemon, name)["config"][key]


def test_a_snapshot_of_the_same_name_that_was_taken_anew(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    copy = f"{name}-copy"
    with_snapshot(lxc, image, name)
    lxc.copy(name, copy)
    lxc.say("snapshot", name, "first", "--reuse")
    assert copied(daemon, name, copy, refresh=True)["err"] == ""
    lxc.restore(copy, "first")
    assert note(lxc, copy) == "two"


def test_a_move_with_another_configuration(lxc: Lxc, daemon: Daemon, image: str, name: str, pool: str) -> None:
    new = f"{name}-new"
    with_snapshot(lxc, image, name)
    lxc.say("move", name, new, "-c", "user.note=x", "--storage", pool)
    assert (shown(daemon, new)["config"]["user.note"], pool_of(daemon, new)) == ("x", pool)
    lxc.create(image, name)
    lxc("move", new, name, "-c", "user.note=y").failed("already in use")
    assert shown(daemon, new)["config"]["user.note"] == "x"


def test_where_nothing_can_be_copied_to(lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    for words in (("copy", name, f"{name}-copy"), ("move", name)):
        lxc(*words, "--storage", "nope").failed("Failed loading storage pool: Storage pool not found")
        lxc(*words, "--target-project", "nope").failed("Project not found")
    assert sorted(one for one in lxc.statuses() if one.startswith(name)) == [name]


def test_a_copy_that_is_cancelled_leaves_nothing(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    pool, copy = f"p-{name}", f"{name}-copy"
    assert daemon.request("POST", "/1.0/storage-pools", {"name": pool, "driver": "dir"}).status == 201
    lxc.create(image, name)
    lxc.push(name, "/root/large", os.urandom(64 << 20))
    devices = {"root": {"type": "disk", "path": "/", "pool": pool}}
    body = {"name": copy, "source": {"type": "copy", "source": name}, "devices": devices}
    ended: dict[str, Any] = {}
    for _ in range(10):
        url = daemon.request("POST", "/1.0/instances", body).envelope["operation"]
        daemon.request("DELETE", url)
        ended = daemon.request("GET", f"{url}/wait").metadata
        if ended["status"] == "Cancelled":
            break
        assert ended["status"] == "Success"  # it was faster
        discard(daemon, copy)
    assert ended["status"] == "Cancelled"
    assert leaks.of_instance(daemon, copy) == []
    assert copy not in daemon.instance_names()
    assert daemon.operation("POST", "/1.0/instances", body)["err"] == ""
    assert lxc.pull(copy, "/root/large") == lxc.pull(name, "/root/large")
    discard(daemon, copy)
    assert daemon.request("DELETE", f"/1.0/storage-pools/{pool}").status == 200


def test_a_running_source_in_a_pool_of_directories(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    pool, source = f"p-{name}", f"{name}-source"
    assert daemon.request("POST", "/1.0/storage-pools", {"name": pool, "driver": "dir"}).status == 201
    lxc.say("init", image, source, "--storage", pool)
    lxc.change_state(source, "start")
    put = "echo $i > new; mv new a; echo $i > new; mv new b"
    lxc.run(source, "sh", "-c", f"cd /root; {put}; (while :; do i=$((i+1)); {put}; done) >/dev/null 2>&1 &")
    for number, target in enumerate((pool, "default")):
        copy = f"{name}-{number}"
        lxc.say("copy", source, copy, "--storage", target, "--allow-inconsistent")
        first, second = (lxc.pull(copy, f"/root/{one}").decode().strip() or "0" for one in "ab")
        assert int(first) - int(second) in (0, 1)  # of one moment
        assert lxc.statuses()[source] == "Running"
        discard(daemon, copy)
    discard(daemon, source)
    assert daemon.request("DELETE", f"/1.0/storage-pools/{pool}").status == 200


def test_a_source_goes_its_way_while_it_is_copied_to_another_pool(
    daemon: Daemon, lxc: Lxc, image: str, name: str
) -> None:
    """It is stopped, started and changed; only to go it has to wait. The copy is what it was."""
    pool, copy = f"p-{name}", f"{name}-copy"
    assert daemon.request("POST", "/1.0/storage-pools", {"name": pool, "driver": "dir"}).status == 201
    lxc.launch(image, name)
    lxc.run(name, "sh", "-c", "echo then >/root/note; head -c 300000000 /dev/zero | tr '\\0' x >/root/large")
    devices = {"root": {"type": "disk", "path": "/", "pool": pool}}
    body = {"name": copy, "source": {"type": "copy", "source": name}, "devices": devices}
    url = daemon.request("POST", "/1.0/instances", body).envelope["operation"]
    copier = copying(daemon)
    os.kill(copier, signal.SIGSTOP)
    lxc.run(name, "sh", "-c", "echo now >/root/note")
    lxc.say("snapshot", name)
    lxc.say("stop", name, "--force")
    with pytest.raises(ClientFailure, match="is being read"):
        lxc.say("delete", name)
    lxc.say("start", name)
    assert daemon.request("GET", url).metadata["status"] == "Running"
    os.kill(copier, signal.SIGCONT)
    assert daemon.request("GET", f"{url}/wait").metadata["err"] == ""
    assert lxc.pull(copy, "/root/note") == b"then\n"
    assert lxc.pull(name, "/root/note") == b"now\n"
    assert snapshots(daemon, copy) == {}
    kept = daemon.state / f"storage-pools/default/containers-snapshots/{name}"
    assert [path.name for path in kept.iterdir()] == ["snap0"]
    discard(daemon, copy)
    discard(daemon, name)
    assert daemon.request("DELETE", f"/1.0/storage-pools/{pool}").status == 200


def copying(daemon: Daemon) -> int:
    """The program that copies files for the daemon, as soon as there is one."""
    assert daemon.process is not None
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"cp\0"):
                        return int(child)
    raise AssertionError("nothing is copied")
