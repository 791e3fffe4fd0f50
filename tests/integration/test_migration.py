"""Instances between two daemons of ours: pools of different drivers, refreshes, moves, cut connections."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import discard
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


@pytest.fixture
def lxc(both: Lxc) -> Lxc:
    """A client that knows two daemons."""
    return both


@pytest.fixture(autouse=True)
def nothing_stays_there(other: Daemon) -> Iterator[None]:
    """The other daemon is empty again."""
    yield
    for name in other.instance_names():
        discard(other, name)


def run(lxc: Lxc, name: str, script: str) -> str:
    return lxc("exec", name, "--", "sh", "-c", script).ok().stdout


@pytest.fixture
def instance(lxc: Lxc, image: str, name: str) -> str:
    """A stopped one that was used, with two snapshots."""
    full = f"here:{name}"
    lxc("launch", f"here:{image}", full).ok()
    run(lxc, full, "mkdir /data; for i in 1 2 3; do echo $i >/data/$i; done; chown 5:6 /data/1; chmod 6755 /data/1")
    lxc("snapshot", full, "s1").ok()
    run(lxc, full, "rm /etc/passwd.bak /data/2; mv /data/3 /data/4; ln /data/1 /data/5; mkfifo /data/fifo")
    lxc("snapshot", full, "s2").ok()
    lxc("stop", full, "--force").ok()
    return name


def listing(daemon: Daemon, name: str) -> list[str]:
    """All files of a stopped instance: kinds, modes, owners, sizes."""
    daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})
    body = {
        "command": ["sh", "-c", "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run \\) -prune "
                    "-o -print | sort | xargs stat -c '%n %F %a %u %g %s'"],
        "record-output": True,
        "interactive": False,
    }  # fmt: skip
    done = daemon.operation("POST", f"/1.0/instances/{name}/exec", body)
    output = daemon.request("GET", done["metadata"]["output"]["1"]).body.decode()
    daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True, "timeout": 30})
    return [line for line in output.splitlines() if " directory " not in line and "/etc/" not in line]


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_files_are_the_same_in_a_pool_of_another_driver(
    lxc: Lxc, daemon: Daemon, other: Daemon, instance: str, mode: str
) -> None:
    lxc("copy", f"here:{instance}", f"there:{instance}", "--mode", mode).ok()
    assert listing(other, instance) == listing(daemon, instance)
    names = [one.rpartition("/")[2] for one in other.request("GET", f"/1.0/instances/{instance}/snapshots").metadata]
    assert names == ["s1", "s2"]
    # And back again, from plain directories into layers.
    lxc("copy", f"there:{instance}", f"here:{instance}-2", "--mode", mode).ok()
    try:
        assert listing(daemon, f"{instance}-2") == listing(daemon, instance)
    finally:
        discard(daemon, f"{instance}-2")


def test_a_refresh_without_changes_sends_little_and_ends_soon(
    lxc: Lxc, daemon: Daemon, other: Daemon, instance: str
) -> None:
    lxc("copy", f"here:{instance}", "there:c2").ok()
    before = sent_bytes()
    begun = time.monotonic()
    lxc("copy", f"here:{instance}", "there:c2", "--refresh").ok()
    assert time.monotonic() - begun < 10  # on a busy machine; alone it is below a second
    assert sent_bytes() - before < 1 << 20
    assert listing(other, "c2") == listing(daemon, instance)


def sent_bytes() -> int:
    """What has gone over the loopback interface so far."""
    return int(Path("/sys/class/net/lo/statistics/tx_bytes").read_text())


def test_a_refresh_takes_what_changed_and_only_the_snapshots_that_are_new(
    lxc: Lxc, other: Daemon, instance: str
) -> None:
    lxc("copy", f"here:{instance}", "there:c2").ok()
    kept = other.request("GET", "/1.0/instances/c2/snapshots/s2").metadata["created_at"]
    lxc("start", f"here:{instance}").ok()
    run(lxc, f"here:{instance}", "echo more >/data/new; rm /data/4")
    lxc("stop", f"here:{instance}", "--force").ok()
    lxc("delete", f"here:{instance}/s1").ok()
    lxc("snapshot", f"here:{instance}", "s3").ok()
    lxc("copy", f"here:{instance}", "there:c2", "--refresh").ok()
    snapshots = other.request("GET", "/1.0/instances/c2/snapshots?recursion=1").metadata
    assert [one["name"] for one in snapshots] == ["s2", "s3"]
    assert snapshots[0]["created_at"] == kept
    lxc("start", "there:c2").ok()
    assert run(lxc, "there:c2", "ls /data").split() == ["1", "5", "fifo", "new"]


def test_one_that_runs_is_not_refreshed(lxc: Lxc, other: Daemon, instance: str) -> None:
    lxc("copy", f"here:{instance}", "there:c2").ok()
    lxc("start", "there:c2").ok()
    lxc("copy", f"here:{instance}", "there:c2", "--refresh").failed("Cannot refresh a running instance")
    assert other.request("GET", "/1.0/instances/c2").metadata["status"] == "Running"


def test_a_running_instance_is_copied_while_it_runs(lxc: Lxc, daemon: Daemon, instance: str) -> None:
    lxc("start", f"here:{instance}").ok()
    run(lxc, f"here:{instance}", "echo kept >/data/kept")
    lxc("copy", f"here:{instance}", "there:c2", "--stateless").ok()
    assert daemon.request("GET", f"/1.0/instances/{instance}").metadata["status"] == "Running"
    lxc("start", "there:c2").ok()
    assert run(lxc, "there:c2", "cat /data/kept") == "kept\n"


def test_what_a_running_instance_has_in_memory_stays(lxc: Lxc, instance: str) -> None:
    lxc("start", f"here:{instance}").ok()
    lxc("copy", f"here:{instance}", "there:c2").failed("Unable to perform container live migration")


def test_a_running_instance_is_moved_with_a_short_stop(lxc: Lxc, daemon: Daemon, other: Daemon, instance: str) -> None:
    lxc("start", f"here:{instance}").ok()
    run(lxc, f"here:{instance}", "echo kept >/data/kept")
    said = lxc("move", f"here:{instance}", "there:", "--stateless").ok().stdout
    assert said.startswith(f"{instance} was stopped for ")
    assert instance not in daemon.instance_names()
    assert other.request("GET", f"/1.0/instances/{instance}").metadata["status"] == "Running"
    assert run(lxc, f"there:{instance}", "cat /data/kept") == "kept\n"


def test_a_move_that_fails_over_there_leaves_it_running_here(
    lxc: Lxc, daemon: Daemon, other: Daemon, instance: str
) -> None:
    lxc("config", "set", f"here:{instance}", "user.x", "y").ok()
    lxc("start", f"here:{instance}").ok()
    # Its nic names a network that the other server lacks, so that it cannot start there.
    failed = lxc("move", f"here:{instance}", "there:", "--stateless", "-d", "eth1,type=nic", "-d", "eth1,network=none")
    failed.failed()
    assert daemon.request("GET", f"/1.0/instances/{instance}").metadata["status"] == "Running"
    assert other.instance_names() == []


def test_a_source_goes_on_when_the_client_that_moves_it_is_killed(
    lxc: Lxc, daemon: Daemon, other: Daemon, instance: str
) -> None:
    """It is killed while the source is frozen, which is long: a file has changed since the first pass."""
    lxc("start", f"here:{instance}").ok()
    run(lxc, f"here:{instance}", "(while :; do head -c 12000000 /dev/urandom >/data/large; done) >/dev/null 2>&1 &")
    pool, path = "/1.0/storage-pools/default", f"/1.0/instances/{instance}"
    assert daemon.request("PATCH", pool, {"config": {"rsync.bwlimit": "4MiB"}}).status == 200
    try:
        words = [lxc.program, "move", f"here:{instance}", "there:", "--stateless"]
        with subprocess.Popen(words, env={**os.environ, **lxc.env}, stdout=subprocess.DEVNULL) as client:
            eventually(lambda: daemon.request("GET", path).metadata["status"] == "Frozen", what="the freezing")
            client.kill()
        eventually(lambda: daemon.request("GET", path).metadata["status"] == "Running", what="the source to go on")
    finally:
        assert daemon.request("PATCH", pool, {"config": {"rsync.bwlimit": ""}}).status == 200
    eventually(lambda: not working(daemon) and not working(other), what="the end of both sides")
    assert instance in daemon.instance_names()
    for name in other.instance_names():
        assert other.request("GET", f"/1.0/instances/{name}").metadata["status"] == "Stopped"


def working(daemon: Daemon) -> object:
    """The operations that run."""
    return daemon.request("GET", "/1.0/operations").metadata.get("running")


def test_a_taken_name_is_refused_and_the_source_stays(lxc: Lxc, daemon: Daemon, instance: str) -> None:
    lxc("copy", f"here:{instance}", "there:c2").ok()
    lxc("move", f"here:{instance}", "there:c2").failed('This "instances" entry already exists')
    assert instance in daemon.instance_names()


@pytest.fixture
def slow(daemon: Daemon) -> Iterator[None]:
    """The session's pool sends a megabyte in a second."""
    pool = "/1.0/storage-pools/default"
    assert daemon.request("PATCH", pool, {"config": {"rsync.bwlimit": "1MiB"}}).status == 200
    yield
    assert daemon.request("PATCH", pool, {"config": {"rsync.bwlimit": ""}}).status == 200


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("end", ["target", "source", "source killed"])
def test_progress_is_told_and_an_interrupted_copy_leaves_nothing(
    lxc: Lxc, daemon: Daemon, other: Daemon, instance: str, end: str
) -> None:
    """The first two by a cancellation at either end; whatever happens, the source is as it was."""
    lxc("start", f"here:{instance}").ok()
    run(lxc, f"here:{instance}", "dd if=/dev/urandom of=/data/large bs=1M count=60")
    lxc("stop", f"here:{instance}", "--force").ok()
    sent, operation = begun(daemon, other, instance)
    eventually(lambda: "c2: " in progress(other, operation), what="progress of the target")
    eventually(lambda: instance in progress(daemon, sent), what="progress of the source")
    if end == "source killed":
        daemon.kill()
        daemon.start()
    else:
        where, which = (other, operation) if end == "target" else (daemon, sent)
        assert where.request("DELETE", f"/1.0/operations/{which['id']}").status == 200
    ended = other.request("GET", f"/1.0/operations/{operation['id']}/wait?timeout=30").metadata
    assert ended["status"] == ("Cancelled" if end == "target" else "Failure")
    assert other.instance_names() == []
    assert list(other.state.glob("storage-pools/default/containers*/c2")) == []
    assert daemon.request("GET", f"/1.0/instances/{instance}").metadata["status"] == "Stopped"
    lxc("start", f"here:{instance}").ok()


@pytest.mark.usefixtures("slow")
def test_a_snapshot_stays_until_another_of_its_name_is_whole(
    lxc: Lxc, daemon: Daemon, other: Daemon, instance: str
) -> None:
    lxc("copy", f"here:{instance}", "there:c2").ok()
    was = other.request("GET", "/1.0/instances/c2/snapshots/s1").metadata
    lxc("start", f"here:{instance}").ok()
    run(lxc, f"here:{instance}", "dd if=/dev/urandom of=/data/large bs=1M count=20; rm /data/4")
    lxc("stop", f"here:{instance}", "--force").ok()
    lxc("snapshot", f"here:{instance}", "s1", "--reuse").ok()
    sent, operation = begun(daemon, other, instance, refresh=True)
    eventually(lambda: "c2/s1: " in progress(other, operation), what="progress of the snapshot")
    assert daemon.request("DELETE", f"/1.0/operations/{sent['id']}").status == 200
    ended = other.request("GET", f"/1.0/operations/{operation['id']}/wait?timeout=30").metadata
    assert ended["status"] == "Failure"
    assert other.request("GET", "/1.0/instances/c2/snapshots/s1").metadata == was
    assert sorted(path.name for path in other.state.glob("storage-pools/*/*-snapshots/c2/*")) == ["s1", "s2"]
    lxc("copy", "there:c2/s1", "there:c3").ok()
    lxc("start", "there:c3").ok()
    assert run(lxc, "there:c3", "ls /data").split() == ["1", "2", "3"]
    assert daemon.request("PATCH", "/1.0/storage-pools/default", {"config": {"rsync.bwlimit": ""}}).status == 200
    lxc("copy", f"here:{instance}", "there:c2", "--refresh").ok()
    assert other.request("GET", "/1.0/instances/c2/snapshots/s1").metadata["created_at"] > was["created_at"]
    assert sorted(path.name for path in other.state.glob("storage-pools/*/*-snapshots/c2/*")) == ["s1", "s2"]
    lxc("restore", "there:c2", "s1").ok()
    lxc("start", "there:c2").ok()
    assert run(lxc, "there:c2", "ls /data").split() == ["1", "5", "fifo", "large"]


def test_a_copy_that_was_cut_goes_on_where_it_was(lxc: Lxc, daemon: Daemon, other: Daemon, instance: str) -> None:
    """What has come of a large file is not sent again, in a pool of plain directories; nor is a snapshot."""
    pool = "/1.0/storage-pools/default"
    lxc("start", f"here:{instance}").ok()
    run(lxc, f"here:{instance}", "head -c 24000000 /dev/urandom >/data/large; md5sum /data/large >/data/sum")
    lxc("stop", f"here:{instance}", "--force").ok()
    assert daemon.request("PATCH", pool, {"config": {"rsync.bwlimit": "4MiB"}}).status == 200
    try:
        _, operation = begun(daemon, other, instance)
        eventually(lambda: megabytes(other, operation) > 12, what="half of the file", timeout_s=60)
        daemon.kill()
        daemon.start()
    finally:
        assert daemon.request("PATCH", pool, {"config": {"rsync.bwlimit": ""}}).status == 200
    ended = other.request("GET", f"/1.0/operations/{operation['id']}/wait?timeout=30").metadata
    assert "the same command goes on from there" in ended["err"]
    assert other.instance_names() == []
    before = sent_bytes()
    lxc("copy", f"here:{instance}", "there:c2").ok()
    assert sent_bytes() - before < 15_000_000
    assert [path.name for path in other.state.glob("storage-pools/default/containers/*")] == ["c2"]
    names = [one.rpartition("/")[2] for one in other.request("GET", "/1.0/instances/c2/snapshots").metadata]
    assert names == ["s1", "s2"]
    lxc("start", "there:c2").ok()
    assert run(lxc, "there:c2", "md5sum -c /data/sum") == "/data/large: OK\n"
    lxc("restore", "there:c2", "s1").ok()
    assert run(lxc, "there:c2", "ls /data").split() == ["1", "2", "3"]


@pytest.mark.parametrize("pool", ["default", "layered"])
def test_a_refresh_that_was_cut_goes_on_where_it_was(
    lxc: Lxc, daemon: Daemon, other: Daemon, instance: str, pool: str
) -> None:
    """In a pool of plain directories and of layers; until all has come the instance is what it was."""
    pools, limit = "/1.0/storage-pools", {"config": {"rsync.bwlimit": "4MiB"}}
    if pool != "default":
        assert other.request("POST", pools, {"name": pool, "driver": "overlay"}).status == 201
    lxc("copy", f"here:{instance}", "there:c2", "--storage", pool).ok()
    lxc("start", f"here:{instance}").ok()
    run(lxc, f"here:{instance}", "head -c 24000000 /dev/urandom >/data/large; md5sum /data/large >/data/sum")
    lxc("stop", f"here:{instance}", "--force").ok()
    assert daemon.request("PATCH", f"{pools}/default", limit).status == 200
    try:
        _, operation = begun(daemon, other, instance, refresh=True)
        eventually(lambda: megabytes(other, operation) > 12, what="half of the file", timeout_s=60)
        daemon.kill()
        daemon.start()
    finally:
        assert daemon.request("PATCH", f"{pools}/default", {"config": {"rsync.bwlimit": ""}}).status == 200
    ended = other.request("GET", f"/1.0/operations/{operation['id']}/wait?timeout=30").metadata
    assert "the same command goes on from there" in ended["err"]
    lxc("start", "there:c2").ok()
    assert run(lxc, "there:c2", "ls /data").split() == ["1", "4", "5", "fifo"]
    lxc("stop", "there:c2", "--force").ok()
    before = sent_bytes()
    lxc("copy", f"here:{instance}", "there:c2", "--refresh").ok()
    assert sent_bytes() - before < 15_000_000
    assert [path.name for path in other.state.glob(f"storage-pools/{pool}/containers/*")] == ["c2"]
    lxc("start", "there:c2").ok()
    assert run(lxc, "there:c2", "md5sum -c /data/sum") == "/data/large: OK\n"
    lxc("restore", "there:c2", "s2").ok()
    assert run(lxc, "there:c2", "ls /data").split() == ["1", "4", "5", "fifo"]
    discard(other, "c2")
    if pool != "default":
        assert other.request("DELETE", f"{pools}/{pool}").status == 200


def megabytes(daemon: Daemon, operation: dict[str, Any]) -> float:
    """How much has come of the volume itself."""
    found = re.match(r"c2: ([0-9.]+)MB", progress(daemon, operation))
    return float(found[1]) if found else 0


def begun(here: Daemon, there: Daemon, instance: str, **fields: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """The operations of a copy that has begun: of the source, and of the target, which is c2."""
    environment = here.request("GET", "/1.0").metadata["environment"]
    sent = here.request("POST", f"/1.0/instances/{instance}", {"name": instance, "migration": True}).metadata
    source = {
        "type": "migration",
        "mode": "pull",
        "operation": f"https://{environment['addresses'][0]}/1.0/operations/{sent['id']}",
        "certificate": environment["certificate"],
        "secrets": sent["metadata"],
        **fields,
    }
    return sent, there.request("POST", "/1.0/instances", {"name": "c2", "source": source}).metadata


def progress(daemon: Daemon, operation: dict[str, Any]) -> str:
    """What an operation shows."""
    now = daemon.request("GET", f"/1.0/operations/{operation['id']}").metadata
    return str((now["metadata"] or {}).get("fs_progress", ""))
