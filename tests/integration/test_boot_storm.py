"""A host with many containers comes up: they start several at once, and the API answers meanwhile."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon

COUNT = 50
MEDIAN_S, SLOWEST_S = 0.05, 0.25
"""What an answer may take while they start, on a machine that has other things to do."""


def test_fifty_containers_start_with_the_daemon_and_the_api_answers(
    fresh_daemon: Daemon, fresh_image: str, tmp_path: Path
) -> None:
    names = {f"c{number}" for number in range(COUNT)}
    for name in sorted(names):
        source = {"type": "image", "alias": fresh_image}
        body = {"name": name, "source": source, "config": {"boot.autostart": "true"}}
        assert fresh_daemon.operation("POST", "/1.0/instances", body)["err"] == ""
    fresh_daemon.stop()
    began = time.monotonic()
    fresh_daemon.start()
    took: list[float] = []
    while True:
        before = time.monotonic()
        assert fresh_daemon.request("GET", "/1.0").status == 200
        listed = fresh_daemon.request("GET", "/1.0/instances?recursion=1").metadata
        took.append((time.monotonic() - before) / 2)
        if all(one["status"] == "Running" for one in listed):
            break
        assert time.monotonic() - began < 180, f"only {sum(one['status'] == 'Running' for one in listed)} run"
    whole = time.monotonic() - began
    print(f"{COUNT} in {whole:.1f} s; {len(took)} answers, median {statistics.median(took)}, slowest {max(took)}")
    assert len(took) > 5, "they were up before anything could be asked"
    assert statistics.median(took) < MEDIAN_S
    assert max(took) < SLOWEST_S
    began = time.monotonic()
    Lxc(OURS, fresh_daemon.env, tmp_path)("stop", "--all", "--force").ok()
