"""Stop, crash and restart of the daemon: no container notices, and none is forgotten."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually, run


def client_of(daemon: Daemon) -> Lxc:
    return Lxc(OURS, {**daemon.env}, daemon.state)


def pid_of(daemon: Daemon, name: str) -> int:
    return daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]


def test_containers_outlive_a_crash_and_a_restart(fresh_daemon: Daemon, fresh_image: str) -> None:
    lxc = client_of(fresh_daemon)
    lxc.launch(fresh_image, "survivor")
    pid = pid_of(fresh_daemon, "survivor")
    fresh_daemon.kill()
    os.kill(pid, 0)
    fresh_daemon.start()
    assert pid_of(fresh_daemon, "survivor") == pid
    assert lxc.run("survivor", "echo", "alive").stdout == "alive\n"
    fresh_daemon.restart()
    assert pid_of(fresh_daemon, "survivor") == pid
    lxc("stop", "survivor").ok()
    assert lxc.statuses()["survivor"] == "Stopped"


def test_a_container_that_ended_meanwhile_is_seen_stopped(fresh_daemon: Daemon, fresh_image: str) -> None:
    lxc = client_of(fresh_daemon)
    lxc.launch(fresh_image, "gone")
    lxc("config", "set", "gone", "boot.autostart=false").ok()
    lxc.launch(fresh_image, "back")
    lxc.launch(fresh_image, "fleeting", ephemeral=True)
    pids = {name: pid_of(fresh_daemon, name) for name in ("gone", "back", "fleeting")}
    fresh_daemon.kill()
    for pid in pids.values():
        os.kill(pid, 9)
        eventually(lambda pid=pid: not Path(f"/proc/{pid}").exists(), what="init to end")
    fresh_daemon.start()
    # What ran when the daemon last knew is started with it, as after a power cut, unless boot.autostart says no.
    eventually(lambda: lxc.statuses() == {"gone": "Stopped", "back": "Running"}, what="the ends to be noticed")
    assert pid_of(fresh_daemon, "back") != pids["back"]


def test_an_end_after_the_restart_is_noticed(fresh_daemon: Daemon, fresh_image: str) -> None:
    lxc = client_of(fresh_daemon)
    lxc.launch(fresh_image, "later")
    fresh_daemon.restart()
    os.kill(pid_of(fresh_daemon, "later"), 9)
    eventually(lambda: lxc.statuses()["later"] == "Stopped", what="the end to be noticed")


def test_shutdown_stops_containers_and_the_next_start_brings_them_back(fresh_daemon: Daemon, fresh_image: str) -> None:
    lxc = client_of(fresh_daemon)
    lxc.launch(fresh_image, "kept")
    lxc.create(fresh_image, "idle")
    pid = pid_of(fresh_daemon, "kept")
    fresh_daemon.run("shutdown", "--timeout=30").ok()
    assert fresh_daemon.process is not None
    fresh_daemon.process.wait(timeout=60)
    fresh_daemon.process = None
    assert not Path(f"/proc/{pid}").exists()
    fresh_daemon.start()
    eventually(lambda: lxc.statuses() == {"kept": "Running", "idle": "Stopped"}, what="last states to come back")


def test_a_second_daemon_on_the_same_state_says_so(fresh_daemon: Daemon) -> None:
    second = run([fresh_daemon.program, "--group", "root"], env=fresh_daemon.env, timeout_s=60)
    assert second.status != 0
    assert "already running" in (second.stdout + second.stderr).lower()
    assert fresh_daemon.request("GET", "/1.0").status == 200


def test_a_real_lxds_state_is_left_alone(bare_daemon: Daemon) -> None:
    database = bare_daemon.state / "database/global"
    database.mkdir(parents=True)
    (database / "open-1").write_bytes(b"dqlite")
    before = {str(path): path.stat().st_mtime_ns for path in bare_daemon.state.rglob("*")}
    refused = run([bare_daemon.program, "--group", "root"], env=bare_daemon.env, timeout_s=60)
    assert refused.status != 0
    assert "lxd" in (refused.stdout + refused.stderr).lower()
    assert {str(path): path.stat().st_mtime_ns for path in bare_daemon.state.rglob("*")} == before
    (database / "open-1").unlink()
    database.rmdir()
    database.parent.rmdir()


def test_init_auto_sets_up_a_pool_a_bridge_and_a_profile(bare_daemon: Daemon) -> None:
    bare_daemon.start()
    bare_daemon.run("init", "--auto").ok()
    devices = bare_daemon.request("GET", "/1.0/profiles/default").metadata["devices"]
    assert devices["root"]["pool"] == "default"
    assert bare_daemon.request("GET", "/1.0/storage-pools/default").metadata["driver"] == "overlay"
    network = bare_daemon.request("GET", f"/1.0/networks/{devices['eth0']['network']}").metadata
    assert network["config"]["ipv4.address"].startswith("10.")
    dump = bare_daemon.run("init", "--dump").ok().stdout
    assert "storage_pools:" in dump


def test_a_socket_that_systemd_listens_on_starts_the_daemon(bare_daemon: Daemon) -> None:
    place = bare_daemon.state / "unix.socket"
    with subprocess.Popen(
        [
            "systemd-socket-activate",
            f"--listen={place}",
            f"--setenv=LXD_DIR={bare_daemon.state}",
            str(bare_daemon.program),
            "--group",
            "root",
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as activated:
        eventually(place.exists, what="the socket")
        bare_daemon.run("shutdown").failed("LXD is not running")
        assert activated.poll() is None
        bare_daemon.run("init", "--minimal").ok()
        assert (bare_daemon.state / "database").is_dir()
        assert client_of(bare_daemon)("list", "-f", "csv").ok().stdout == ""
        bare_daemon.run("shutdown", "--timeout=30").ok()
        assert activated.wait(timeout=60) == 0
        assert place.exists(), "systemd goes on listening"


def test_systemd_is_told_when_it_serves_and_when_it_stops(
    bare_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(place))
        told.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(place))
        bare_daemon.start()
        assert told.recv(100) == b"READY=1"
        bare_daemon.stop()
        assert told.recv(100) == b"STOPPING=1"
    bare_daemon.start()  # nobody listens any more, which is no reason to end


def test_shutdown_without_a_daemon_says_so(bare_daemon: Daemon) -> None:
    bare_daemon.run("shutdown").failed("LXD is not running")


def test_waitready_gives_up_in_time(bare_daemon: Daemon) -> None:
    bare_daemon.run("waitready", "--timeout=1").failed("LXD still not running after 1")


def test_logs_and_database_are_nobody_elses(fresh_daemon: Daemon, fresh_image: str) -> None:
    client_of(fresh_daemon).launch(fresh_image, "c1")
    for name in ("logs", "database", "security", "images"):
        assert (fresh_daemon.state / name).stat().st_mode & 0o077 == 0, name


def test_what_was_recorded_goes_after_two_days(fresh_daemon: Daemon, fresh_image: str) -> None:
    client_of(fresh_daemon).launch(fresh_image, "c1")
    logs = fresh_daemon.state / "logs/c1"
    for name, hours in (("exec_old.stdout", 49), ("exec_new.stdout", 47)):
        (logs / name).write_text("x")
        moment = time.time() - hours * 3600
        os.utime(logs / name, (moment, moment))
    os.utime(logs / "lxc.conf", (0, 0))
    fresh_daemon.restart()
    eventually(lambda: not (logs / "exec_old.stdout").exists(), what="the old record to go")
    listed = fresh_daemon.request("GET", "/1.0/instances/c1/logs").metadata
    assert sorted(url.rpartition("/")[2] for url in listed) == ["exec_new.stdout", "lxc.conf", "lxc.log"]


def test_a_disk_is_there_though_the_daemon_died_while_it_was_being_added(
    fresh_daemon: Daemon, fresh_image: str
) -> None:
    lxc = client_of(fresh_daemon)
    lxc.launch(fresh_image, "c1")
    lxc("config", "device", "add", "c1", "stays", "disk", "source=/opt", "path=/srv/stays").ok()
    fresh_daemon.kill()
    # The row is stored before anything is mounted.
    disk = {"type": "disk", "source": "/opt", "path": "/srv/new"}
    with contextlib.closing(sqlite3.connect(fresh_daemon.state / "database/lightervisor.db")) as database, database:
        ((text,),) = database.execute("select devices from instances where name = 'c1'").fetchall()
        devices = json.dumps({**json.loads(text), "new": disk})
        database.execute("update instances set devices = ? where name = 'c1'", (devices,))
    fresh_daemon.start()
    mounts = [line.split()[1] for line in lxc.run("c1", "cat", "/proc/mounts").stdout.splitlines()]
    assert (mounts.count("/srv/stays"), mounts.count("/srv/new")) == (1, 1)
    lxc("config", "device", "remove", "c1", "new").ok()
    assert "/srv/new" not in lxc.run("c1", "cat", "/proc/mounts").stdout
