"""Stateful stops and starts: memory in the directory `state`, processes that go on where they were."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from lightervisor.kernel import btrfs
from lightervisor.storage import subvolumes
from tests.conftest import watched
from tests.harness import memory
from tests.harness.client import ClientFailure
from tests.harness.daemon import Daemon
from tests.harness.memory import Counting
from tests.harness.processes import eventually


@pytest.fixture(scope="module", params=["overlay", "dir", "btrfs"])
def keeper(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon that has criu, with a pool of each kind."""

    def prepare(daemon: Daemon) -> None:
        memory.add_image(daemon.start().initialise(driver=request.param))

    yield from watched(prepare, memory.daemon_with_criu())


@pytest.fixture
def counting(keeper: Daemon) -> Iterator[Counting]:
    """A container that counts."""
    made = Counting(keeper).start()
    yield made
    made.lxc("delete", "--force", made.name)


def state_of(counting: Counting) -> Path:
    """The directory of its memory."""
    return counting.daemon.state / "storage-pools/default/containers" / counting.name / "state"


def test_processes_go_on_with_their_memory_pids_addresses_and_connections(counting: Counting) -> None:
    address = counting.await_address()
    counting.inside("setsid nc -l -p 7 -e /bin/cat </dev/null >/dev/null 2>&1 &")
    counting.inside("until grep -q ':0007 ' /proc/net/tcp*; do sleep 0.05; done")
    with socket.create_connection((address, 7), timeout=10) as line:
        line.sendall(b"before")
        assert line.recv(16) == b"before"
        counting.lxc.say("stop", counting.name, "--stateful")
        assert (counting.record["status"], counting.record["stateful"]) == ("Stopped", True)
        assert (state_of(counting) / "inventory.img").exists()
        counting.lxc.say("start", counting.name)
        counting.check()
        assert counting.await_address() == address
        assert "default via" in counting.inside("ip route")
        line.sendall(b"after")
        assert line.recv(16) == b"after"
    assert counting.record["stateful"] is False
    assert not state_of(counting).exists()


def test_a_stateless_start_throws_the_state_away(counting: Counting) -> None:
    counting.lxc.say("stop", counting.name, "--stateful")
    counting.lxc.say("start", counting.name, "--stateless")
    assert counting.record["stateful"] is False
    assert not state_of(counting).exists()
    assert counting.inside("ps | grep -c '[b]in/counting' || true").strip() == "0"


def test_a_state_survives_a_restart_of_the_daemon_and_a_second_stop(counting: Counting) -> None:
    counting.lxc.say("stop", counting.name, "--stateful")
    counting.daemon.restart()
    assert counting.record["stateful"] is True
    counting.lxc.say("start", counting.name)
    counting.check()
    counting.daemon.restart()
    counting.check()
    counting.lxc.say("stop", counting.name, "--stateful")
    counting.lxc.say("start", counting.name)
    counting.check()


def test_the_boot_brings_memory_back_where_it_starts_the_container(counting: Counting) -> None:
    counting.lxc.say("config", "set", counting.name, "boot.autostart=true")
    counting.lxc.say("stop", counting.name, "--stateful")
    counting.daemon.restart()
    eventually(lambda: counting.record["status"] == "Running", what="the container to be started with the daemon")
    counting.check()
    assert eventually(lambda: not state_of(counting).exists(), what="its state to go")


def test_a_restored_container_reboots_stops_and_is_deleted(counting: Counting) -> None:
    counting.lxc.say("stop", counting.name, "--stateful")
    counting.lxc.say("start", counting.name)
    counting.lxc.say("restart", counting.name, "--timeout", "20")
    assert counting.await_address()
    counting.lxc.say("stop", counting.name, "--timeout", "20")
    assert counting.record["status"] == "Stopped"


def test_a_state_that_cannot_be_restored_is_kept_for_another_try(counting: Counting) -> None:
    counting.lxc.say("stop", counting.name, "--stateful")
    image = state_of(counting) / "core-1.img"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClientFailure, match=r"could not be brought back.*its state is kept: try again"):
        counting.lxc.say("start", counting.name)
    assert (counting.record["status"], counting.record["stateful"]) == ("Stopped", True)
    image.write_bytes(whole)
    counting.lxc.say("start", counting.name)
    counting.check()


def test_a_stateful_snapshot_brings_files_and_memory_of_its_moment_back(counting: Counting) -> None:
    address = counting.await_address()
    counting.inside("echo then >/root/file")
    counting.lxc.say("snapshot", counting.name, "warm", "--stateful")
    assert not state_of(counting).exists()
    at_snapshot = counting.asked
    counting.check()
    assert counting.await_address() == address
    counting.inside("echo now >/root/file")
    snapshot = counting.daemon.request("GET", f"/1.0/instances/{counting.name}/snapshots/warm").metadata
    assert snapshot["stateful"] is True
    for _ in range(2):
        counting.lxc.say("restore", counting.name, "warm", "--stateful")
        counting.asked = at_snapshot
        counting.check()
        assert counting.inside("cat /root/file") == "then\n"
        assert counting.await_address() == address
    counting.lxc.say("stop", counting.name, "--force")
    counting.lxc.say("restore", counting.name, "warm", "--stateful")
    counting.asked = at_snapshot
    counting.check()
    counting.lxc.say("restore", counting.name, "warm")
    assert not state_of(counting).exists()
    assert counting.inside("ps | grep -c '[b]in/counting' || true").strip() == "0"
    assert (counting.record["stateful"], counting.inside("cat /root/file")) == (False, "then\n")


def test_a_snapshot_without_memory_cannot_give_any(counting: Counting) -> None:
    counting.lxc.say("snapshot", counting.name, "cold")
    with pytest.raises(ClientFailure, match="Stateful snapshot restore requested by snapshot is stateless"):
        counting.lxc.say("restore", counting.name, "cold", "--stateful")
    counting.check()
    counting.lxc.say("stop", counting.name, "--stateful")
    counting.lxc.say("restore", counting.name, "cold")
    assert (counting.record["status"], counting.record["stateful"]) == ("Stopped", False)


def test_nothing_loses_memory_by_the_way(counting: Counting) -> None:
    name, lxc = counting.name, counting.lxc
    lxc.say("snapshot", name, "warm", "--stateful")
    counting.check()
    lxc.say("storage", "create", f"{name}-b", "dir")
    try:
        lxc.say("stop", name, "--stateful")
        for words in (("rebuild", "build:busybox", name), ("move", name, "--storage", f"{name}-b")):
            with pytest.raises(ClientFailure, match="What it has in memory is kept with its files, and would be lost"):
                lxc.say(*words)
        lxc.say("start", name)
        counting.check()
        warm = state_of(counting).parents[2] / "containers-snapshots" / name / "warm"
        with subvolumes.writable(warm) if btrfs.is_subvolume(warm) else nullcontext():
            shutil.rmtree(warm / "state")
        with pytest.raises(ClientFailure, match="its memory is not there any more"):
            lxc.say("restore", name, "warm", "--stateful")
        counting.check()  # nothing was stopped for it
    finally:
        lxc.say("storage", "delete", f"{name}-b")


def test_limits_are_those_of_the_configuration(keeper: Daemon) -> None:
    counting = Counting(keeper, config={"limits.memory": "200MiB", "limits.cpu": "1"}).start()
    try:
        counting.lxc.say("stop", counting.name, "--stateful")
        counting.lxc.say("config", "set", counting.name, "limits.memory=100MiB")
        counting.lxc.say("start", counting.name)
        counting.check()
        assert counting.inside("nproc; awk '/MemTotal/ {print $2}' /proc/meminfo").split() == ["1", str(100 << 10)]
    finally:
        counting.lxc("delete", "--force", counting.name)


def test_all_blockers_are_named_and_nothing_is_stopped(keeper: Daemon) -> None:
    counting = Counting(keeper, config={"migration.stateful": "false"}).start()
    try:
        counting.inside("setsid unshare -u sleep 1000 </dev/null >/dev/null 2>&1 &")
        counting.inside("until [ $(pidof sleep | wc -w) -ge 2 ]; do sleep 0.05; done")
        with pytest.raises(ClientFailure) as failed:
            counting.lxc.say("stop", counting.name, "--stateful")
        for blocker in ("with a console", "migration.stateful=true", "uts namespace"):
            assert blocker in str(failed.value)
        counting.check()
        assert not state_of(counting).exists()
    finally:
        counting.lxc("delete", "--force", counting.name)


def test_without_criu_the_package_is_named(image: str, daemon: Daemon) -> None:
    """On the daemon of the other tests, which is told of none; where the host has one it may do it."""
    if Path("/usr/sbin/criu").exists():
        pytest.skip("this host has criu")
    post = {"name": "t-no-criu", "source": {"type": "image", "alias": image}, "config": {"migration.stateful": "true"}}
    assert daemon.operation("POST", "/1.0/instances", post)["err"] == ""
    try:
        state = {"action": "start", "timeout": 30}
        assert daemon.operation("PUT", "/1.0/instances/t-no-criu/state", state)["err"] == ""
        stop = {"action": "stop", "timeout": 30, "stateful": True}
        ended = daemon.operation("PUT", "/1.0/instances/t-no-criu/state", stop)
        assert "apt install criu" in ended["err"]
        assert daemon.request("GET", "/1.0/instances/t-no-criu").metadata["status"] == "Running"
    finally:
        daemon.operation("PUT", "/1.0/instances/t-no-criu/state", {"action": "stop", "timeout": 30, "force": True})
        daemon.operation("DELETE", "/1.0/instances/t-no-criu")
