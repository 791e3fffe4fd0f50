"""Snapshots that are taken and deleted by themselves."""

from __future__ import annotations

import pytest

from tests.harness.client import ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


def test_they_come_and_go_each_minute(daemon: Daemon, lxc: Lxc, image: str, running: str) -> None:
    stopped, too = f"{running}-stopped", f"{running}-too"
    for name in (stopped, too):
        lxc.create(image, name)
    lxc.set_config(too, "snapshots.schedule.stopped", "true")
    lxc.set_config(running, "snapshots.pattern", "auto%d")
    gone = {"name": "gone", "expires_at": "2020-01-01T00:00:00Z"}
    stays = {"name": "stays", "expires_at": "2100-01-01T00:00:00Z"}
    for body in (gone, stays):
        daemon.operation("POST", f"/1.0/instances/{stopped}/snapshots", body)
    for name in (running, stopped, too):
        lxc.set_config(name, "snapshots.schedule", "* * * * *")
    eventually(lambda: "auto0" in lxc.snapshots(running), timeout_s=75, what="a snapshot to be taken")
    eventually(lambda: "snap0" in lxc.snapshots(too), what="one of the stopped instance")
    eventually(lambda: lxc.snapshots(stopped) == ["stays"], what="the one that has ended to go")
    lxc.set_config(running, "snapshots.schedule", "@never")
    assert lxc.run(running, "echo", "alive").stdout == "alive\n"


def test_one_is_taken_at_each_start(lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    lxc.set_config(name, "snapshots.schedule", "@daily, @startup")
    lxc.change_state(name, "start")
    assert lxc.snapshots(name) == ["snap0"]
    lxc.change_state(name, "restart", force=True)
    assert lxc.snapshots(name) == ["snap0", "snap1"]


def test_a_start_is_not_kept_from_happening(lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    lxc.set_config(name, "snapshots.schedule", "@startup")
    lxc.set_config(name, "snapshots.pattern", "a/b")
    lxc.change_state(name, "start")
    assert lxc.snapshots(name) == []
    assert lxc.statuses()[name] == "Running"


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("snapshots.schedule", "x", "Schedule must be of the form"),
        ("snapshots.schedule", "61 * * * *", r"end of range \(61\) above maximum \(59\): 61"),
        ("snapshots.expiry", "1d 2d", "Invalid expiry expression"),
        ("snapshots.schedule.stopped", "maybe", "Invalid value for a boolean"),
    ],
)
def test_bad_values_are_refused(either: Lxc, image: str, name: str, key: str, value: str, complaint: str) -> None:
    either.create(image, name)
    with pytest.raises(ClientFailure, match=complaint):
        either.set_config(name, key, value)
