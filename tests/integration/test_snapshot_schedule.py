"""Snapshots that are taken and deleted by themselves."""

from __future__ import annotations

import sqlite3

import pytest

from tests.harness.client import ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


def as_if_scheduled(daemon: Daemon, instance: str, snapshot: str, created_at: str) -> None:
    """Tell the daemon that its schedule took a snapshot, and when."""
    query = (
        "update instance_snapshots set scheduled = 1, created_at = ?"
        " where name = ? and instance_id = (select id from instances where name = ?)"
    )
    with sqlite3.connect(daemon.state / "database/lightervisor.db", timeout=30) as database:
        assert database.execute(query, (created_at, snapshot, instance)).rowcount == 1
    database.close()


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
    thinned = f"{running}-thinned"
    lxc.create(image, thinned)
    for number, name in enumerate(["early", "later", "renamed", "mine", "last"]):
        lxc.snapshot(thinned, name)
        if name != "mine":
            as_if_scheduled(daemon, thinned, name, f"2026-03-02T12:{number}0:00+00:00")
    lxc("rename", f"{thinned}/renamed", f"{thinned}/kept").ok()
    lxc.set_config(thinned, "snapshots.retention", "24h,7d")
    for name in (running, stopped, too):
        lxc.set_config(name, "snapshots.schedule", "* * * * *")
    eventually(lambda: "auto0" in lxc.snapshots(running), timeout_s=75, what="a snapshot to be taken")
    eventually(lambda: "snap0" in lxc.snapshots(too), what="one of the stopped instance")
    eventually(lambda: lxc.snapshots(stopped) == ["stays"], what="the one that has ended to go")
    eventually(lambda: "early" not in lxc.snapshots(thinned), what="others to be thinned out")
    assert set(lxc.snapshots(thinned)) == {"kept", "mine", "last"}
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
        ("snapshots.retention", "24h,7x", "Invalid retention '7x'"),
        ("snapshots.schedule.stopped", "maybe", "Invalid value for a boolean"),
    ],
)
def test_bad_values_are_refused(either: Lxc, image: str, name: str, key: str, value: str, complaint: str) -> None:
    either.create(image, name)
    with pytest.raises(ClientFailure, match=complaint):
        either.set_config(name, key, value)
