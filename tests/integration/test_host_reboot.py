"""The host goes down, cleanly or not, and comes up again."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.harness import power
from tests.harness.client_lxc import OURS, Lxc
from tests.harness.conditions import address_of
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


@pytest.fixture
def own(fresh_daemon: Daemon) -> Lxc:
    """Our `lxc` on the test's own daemon."""
    return Lxc(OURS, {**fresh_daemon.env}, fresh_daemon.state)


def started_at(daemon: Daemon, name: str) -> datetime:
    return datetime.fromisoformat(daemon.request("GET", f"/1.0/instances/{name}").metadata["last_used_at"])


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


def test_after_a_power_cut_everything_is_as_before(fresh_daemon: Daemon, fresh_image: str, own: Lxc) -> None:
    for name in ("ran", "never"):
        own.launch(fresh_image, name)
    own.create(fresh_image, "always")
    own.create(fresh_image, "idle")
    own("config", "set", "always", "boot.autostart=true").ok()
    own("config", "set", "never", "boot.autostart=false").ok()
    own.run("ran", "sh", "-c", "echo kept >/root/kept; sync")
    power.cut(fresh_daemon)
    fresh_daemon.start()
    wanted = {"ran": "Running", "never": "Stopped", "always": "Running", "idle": "Stopped"}
    eventually(lambda: own.statuses() == wanted, what="all to be as it was")
    assert own.run("ran", "cat", "/root/kept").stdout == "kept\n"
    assert address_of(fresh_daemon, "ran")
    own("start", "never").ok()
    own("stop", "--force", "always").ok()


def test_the_first_to_start_has_the_highest_priority(fresh_daemon: Daemon, fresh_image: str, own: Lxc) -> None:
    for name, priority in (("a", 0), ("b", 10), ("c", 5)):
        own.create(fresh_image, name)
        own("config", "set", name, "boot.autostart=true", f"boot.autostart.priority={priority}").ok()
    own("config", "set", "b", "boot.autostart.delay=5").ok()
    fresh_daemon.restart()
    eventually(lambda: set(own.statuses().values()) == {"Running"}, what="all to run")
    # A container runs a moment before its start is noted.
    eventually(
        lambda: min(started_at(fresh_daemon, name).year for name in "abc") > 1970, what="their starts to be noted"
    )
    moments = {name: started_at(fresh_daemon, name) for name in "abc"}
    assert moments["b"] < moments["c"] < moments["a"]
    assert (moments["c"] - moments["b"]).total_seconds() >= 5
    assert (moments["a"] - moments["c"]).total_seconds() < 5


def test_an_instance_that_cannot_start_is_warned_of_and_keeps_nobody(
    fresh_daemon: Daemon, fresh_image: str, own: Lxc
) -> None:
    own.launch(fresh_image, "bad")
    own.launch(fresh_image, "good")
    folder = fresh_daemon.state / "shared"
    folder.mkdir()
    own("config", "device", "add", "bad", "d", "disk", f"source={folder}", "path=/mnt").ok()
    power.cut(fresh_daemon)
    folder.rmdir()
    fresh_daemon.start()
    eventually(lambda: own.statuses() == {"bad": "Stopped", "good": "Running"}, what="the good one to run")

    def warned() -> list[str]:
        found = fresh_daemon.request("GET", "/1.0/warnings?recursion=1").metadata
        return [one["last_message"] for one in found if one["type"] == "Instance autostart failure"]

    assert "Missing source path" in eventually(warned, what="the warning")[0]
    folder.mkdir()
    eventually(lambda: own.statuses()["bad"] == "Running", what="the next attempt")
    own("config", "device", "remove", "bad", "d").ok()
    folder.rmdir()


def test_instances_stop_in_order_and_in_their_time(fresh_daemon: Daemon, fresh_image: str, own: Lxc) -> None:
    own.create(fresh_image, "stubborn")
    own("config", "set", "stubborn", "raw.lxc=lxc.init.cmd = /bin/sleep 1000").ok()
    own("config", "set", "stubborn", "boot.stop.priority=10", "boot.host_shutdown_timeout=2").ok()
    own("start", "stubborn").ok()
    own.launch(fresh_image, "later")
    first, second = pid_of(fresh_daemon, "stubborn"), pid_of(fresh_daemon, "later")
    began = time.monotonic()
    with subprocess.Popen(
        [fresh_daemon.program, "shutdown"], env={**fresh_daemon.env, "PATH": "/usr/bin:/bin"}
    ) as ends:
        while ends.poll() is None:
            has_second_ended = not power.is_alive(second)
            assert not (has_second_ended and power.is_alive(first)), "the one of lower priority stopped first"
        assert ends.returncode == 0
    assert 2 <= time.monotonic() - began < 30  # which it would take without the key
    assert not power.is_alive(first)
    assert not power.is_alive(second)
    assert fresh_daemon.process is not None
    fresh_daemon.process.wait(timeout=60)
    fresh_daemon.process = None
    fresh_daemon.start()
    eventually(lambda: set(own.statuses().values()) == {"Running"}, what="both to run again")
    own("stop", "--force", "stubborn").ok()


@pytest.fixture
def listener(bare_daemon: Daemon) -> Iterator[socket.socket]:
    """The socket as systemd holds it."""
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(bare_daemon.state / "unix.socket"))
        held.listen()
        held.setblocking(False)
        yield held


def test_a_host_without_anything_to_start_does_not_wake_the_daemon(
    bare_daemon: Daemon, listener: socket.socket
) -> None:
    bare_daemon.run("activateifneeded").ok()
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()
    (bare_daemon.state / "unix.socket").unlink()


def test_shutting_down_what_does_not_run_says_so(bare_daemon: Daemon) -> None:
    bare_daemon.run("shutdown").failed("LXD is not running")


def test_a_daemon_that_is_still_busy_is_told_of(fresh_daemon: Daemon, fresh_image: str, own: Lxc) -> None:
    own.create(fresh_image, "stubborn")
    own("config", "set", "stubborn", "raw.lxc=lxc.init.cmd = /bin/sleep 1000", "boot.host_shutdown_timeout=4").ok()
    own("start", "stubborn").ok()
    fresh_daemon.run("shutdown", "--timeout=1").failed("LXD still running after 1s timeout")
    assert fresh_daemon.process is not None
    fresh_daemon.process.wait(timeout=60)
    fresh_daemon.process = None
