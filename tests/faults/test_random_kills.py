"""The daemon dies during launch and delete: after its restart the container is there whole, or gone without a trace.

The moments are spread over the time that the work takes when nothing goes wrong, so that over all of them each
step is hit; the first ones fall into the request itself, the last ones after the answer.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable

import pytest

from tests.harness import leaks
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

MOMENTS = 12


def launch(daemon: Daemon, image: str, name: str) -> None:
    """Create and start; the daemon may be gone at any line."""
    body = {"name": name, "source": {"type": "image", "alias": image}, "ephemeral": False}
    daemon.operation("POST", "/1.0/instances", body)
    daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})


def delete(daemon: Daemon, name: str) -> None:
    """Stop and delete."""
    daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True, "timeout": 30})
    daemon.operation("DELETE", f"/1.0/instances/{name}")


def timed(work: Callable[[], None]) -> float:
    """The seconds the work takes undisturbed."""
    start = time.monotonic()
    work()
    return time.monotonic() - start


def kill_during(daemon: Daemon, work: Callable[[], None], delay_s: float) -> None:
    """Start the work, kill the daemon after the delay, start it again."""

    def quietly() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError, ValueError):
            work()

    worker = threading.Thread(target=quietly)
    worker.start()
    time.sleep(delay_s)  # the moment under test
    daemon.kill()
    worker.join(timeout=60)
    daemon.start()


def whole_or_gone(daemon: Daemon, name: str) -> str:
    """The container's status, "gone" when there is none; fails the test on anything in between."""
    answer = daemon.request("GET", f"/1.0/instances/{name}")
    if answer.status == 404:
        assert leaks.of_instance(daemon, name) == []
        return "gone"
    status = answer.metadata["status"]
    assert status in ("Running", "Stopped"), status
    if status == "Stopped":
        started = daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})
        assert started["status"] == "Success", started["err"]
    body = {"command": ["cat", "/etc/passwd"], "record-output": True, "interactive": False}
    assert daemon.operation("POST", f"/1.0/instances/{name}/exec", body)["metadata"]["return"] == 0
    return status


def nothing_runs(daemon: Daemon) -> bool:
    """Whether every operation is over, the ones that the restart undoes or finishes included."""
    return "running" not in daemon.request("GET", "/1.0/operations").metadata


@pytest.fixture
def undisturbed(fresh_daemon: Daemon, fresh_image: str) -> tuple[float, float]:
    """The seconds that launch and delete take, measured the second time."""
    launch(fresh_daemon, fresh_image, "warm")
    delete(fresh_daemon, "warm")
    launching = timed(lambda: launch(fresh_daemon, fresh_image, "timed"))
    deleting = timed(lambda: delete(fresh_daemon, "timed"))
    return launching, deleting


@pytest.mark.timeout(600)
def test_a_kill_during_launch_leaves_it_whole_or_gone(
    fresh_daemon: Daemon, fresh_image: str, undisturbed: tuple[float, float]
) -> None:
    for moment in range(MOMENTS):
        name = f"k{moment}"
        delay_s = undisturbed[0] * 1.1 * moment / MOMENTS
        kill_during(fresh_daemon, lambda name=name: launch(fresh_daemon, fresh_image, name), delay_s)
        eventually(lambda: nothing_runs(fresh_daemon), what="recovery to end")
        if whole_or_gone(fresh_daemon, name) != "gone":
            delete(fresh_daemon, name)
        assert leaks.of_instance(fresh_daemon, name) == [], f"killed {delay_s:.3f} s into the launch"
        # The same request again succeeds.
        launch(fresh_daemon, fresh_image, name)
        assert whole_or_gone(fresh_daemon, name) == "Running"
        delete(fresh_daemon, name)


@pytest.mark.timeout(600)
def test_a_kill_during_delete_leaves_it_whole_or_gone(
    fresh_daemon: Daemon, fresh_image: str, undisturbed: tuple[float, float]
) -> None:
    for moment in range(MOMENTS):
        name = f"d{moment}"
        launch(fresh_daemon, fresh_image, name)
        delay_s = undisturbed[1] * 1.1 * moment / MOMENTS
        kill_during(fresh_daemon, lambda name=name: delete(fresh_daemon, name), delay_s)
        eventually(lambda: nothing_runs(fresh_daemon), what="recovery to end")
        if whole_or_gone(fresh_daemon, name) != "gone":
            delete(fresh_daemon, name)
        assert leaks.of_instance(fresh_daemon, name) == [], f"killed {delay_s:.3f} s into the delete"


def test_a_container_without_init_says_why_and_can_be_deleted(fresh_daemon: Daemon, fresh_image: str) -> None:
    body = {"name": "headless", "source": {"type": "none"}}
    assert fresh_daemon.operation("POST", "/1.0/instances", body)["status"] == "Success"
    started = fresh_daemon.operation("PUT", "/1.0/instances/headless/state", {"action": "start", "timeout": 30})
    assert started["status"] == "Failure"
    assert "init" in started["err"]
    delete_only = fresh_daemon.operation("DELETE", "/1.0/instances/headless")
    assert delete_only["status"] == "Success", delete_only
    assert leaks.of_instance(fresh_daemon, "headless") == []


def test_a_start_that_fails_leaves_nothing_running(fresh_daemon: Daemon, fresh_image: str) -> None:
    devices = {"gone": {"type": "disk", "source": "/no/such/folder", "path": "/mnt"}}
    body = {"name": "broken", "source": {"type": "image", "alias": fresh_image}, "devices": devices}
    created = fresh_daemon.operation("POST", "/1.0/instances", body)
    if created["status"] == "Success":
        started = fresh_daemon.operation("PUT", "/1.0/instances/broken/state", {"action": "start", "timeout": 30})
        assert started["status"] == "Failure"
        assert "/no/such/folder" in started["err"]
        assert fresh_daemon.operation("DELETE", "/1.0/instances/broken")["status"] == "Success"
    assert leaks.of_instance(fresh_daemon, "broken") == []
