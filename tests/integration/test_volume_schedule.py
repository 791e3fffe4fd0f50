"""Snapshots of custom volumes that are taken and deleted by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

V = ("storage", "volume")


def test_one_is_taken_each_minute_and_goes_when_it_has_had_its_time(daemon: Daemon, lxc: Lxc, name: str) -> None:
    volume, url = f"v-{name}", f"/1.0/storage-pools/default/volumes/custom/v-{name}/snapshots"
    lxc(*V, "create", "default", volume, "snapshots.pattern=auto%d", "snapshots.schedule=* * * * *").ok()
    try:
        ends = (datetime.now(UTC) + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
        assert daemon.operation("POST", url, {"name": "short", "expires_at": ends})["status"] == "Success"

        def names() -> list[str]:
            return [one.rpartition("/")[2] for one in daemon.request("GET", url).metadata]

        eventually(lambda: "auto0" in names() and "short" not in names(), timeout_s=90, what="a minute to begin")
    finally:
        lxc(*V, "delete", "default", volume).ok()


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("snapshots.schedule=@bogus", "Schedule must be of the form"),
        ("snapshots.expiry=1x", "Invalid expiry expression"),
    ],
)
def test_bad_schedules(either: Lxc, setting: str, text: str) -> None:
    either(*V, "create", "default", "x", setting).failed(f'Invalid value for volume "default_x" option "{setting[:12]}')
    either(*V, "create", "default", "x", setting).failed(text)
