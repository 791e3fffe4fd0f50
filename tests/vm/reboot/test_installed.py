"""`make install` on a host with systemd, then a restart of the whole machine: containers are where they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.processes import REPOSITORY, Done, eventually

BEFORE = pytest.mark.skipif(os.environ.get("LIGHTERVISOR_VM") != "before", reason="before the restart")
AFTER = pytest.mark.skipif(os.environ.get("LIGHTERVISOR_VM") != "after", reason="after the restart")
BIN = Path("/usr/local/bin")


def lxc(*words: str) -> Done:
    return processes.run([BIN / "lxc", *words], timeout_s=120)


def systemctl(*words: str) -> Done:
    return processes.run(["systemctl", *words], timeout_s=120)


def status_of(name: str) -> str:
    return lxc("list", f"^{name}$", "--format", "csv", "--columns", "s").ok().stdout.strip()


def pid_of(name: str) -> str:
    return lxc("list", f"^{name}$", "--format", "csv", "--columns", "p").ok().stdout.strip()


@BEFORE
def test_it_installs_and_the_socket_starts_it() -> None:
    processes.run(["make", "-C", REPOSITORY, "install"], timeout_s=900).ok()
    assert systemctl("is-active", "lxd.socket").stdout.strip() == "active"
    assert systemctl("is-active", "lxd.service").stdout.strip() == "inactive"
    processes.run([BIN / "lxd", "init", "--auto"], timeout_s=120).ok()
    assert systemctl("is-active", "lxd.service").stdout.strip() == "active"


@BEFORE
def test_containers_go_on_while_the_daemon_is_restarted() -> None:
    for name in ("runs", "starts-itself", "stays-off"):
        lxc("launch", "build:busybox", name).ok()
    lxc("config", "set", "starts-itself", "boot.autostart", "true").ok()
    lxc("config", "set", "stays-off", "boot.autostart", "false").ok()
    lxc("stop", "--force", "starts-itself").ok()
    before = pid_of("runs")
    systemctl("restart", "lxd.service").ok()
    assert pid_of("runs") == before
    systemctl("kill", "--signal=SIGKILL", "--kill-whom=main", "lxd.service").ok()
    processes.run([BIN / "lxd", "waitready", "--timeout", "120"], timeout_s=130).ok()
    assert status_of("runs") == "RUNNING"
    assert pid_of("runs") == before


@AFTER
@pytest.mark.parametrize(
    ("name", "status"), [("runs", "RUNNING"), ("starts-itself", "RUNNING"), ("stays-off", "STOPPED")]
)
def test_the_machine_came_back_as_it_was(name: str, status: str) -> None:
    processes.run([BIN / "lxd", "waitready", "--timeout", "120"], timeout_s=130).ok()
    eventually(lambda: status_of(name) == status, timeout_s=120, what=f"{name} to be {status}")


@AFTER
def test_it_can_be_removed() -> None:
    for name in ("runs", "starts-itself", "stays-off"):
        lxc("delete", "--force", name).ok()
    processes.run(["make", "-C", REPOSITORY, "uninstall"], timeout_s=120).ok()
    assert not (BIN / "lxd").exists()
    assert systemctl("is-active", "lxd.service").stdout.strip() == "inactive"
