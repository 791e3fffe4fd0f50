"""What dies, fills up or goes away during launch and delete, at moments that nobody chose."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.work import START, Outcome, Work
from tests.harness import leaks
from tests.harness.client_lxc import OURS, STOCK
from tests.harness.processes import eventually

ROUNDS, SEED = 25, 2
IN_PLACE = "os.rename $LXD_DIR/storage-pools/default/trash/* $LXD_DIR/storage-pools/default/containers/NAME #1"


def test_a_daemon_killed_at_any_moment_leaves_it_whole_or_gone(crew: list[Work]) -> None:
    dice = random.Random(SEED)
    moments = [(dice.choice(["launch", "delete"]), dice.random()) for _ in range(ROUNDS)]

    def take_turns(number: int) -> None:
        work = crew[number]
        name = work.new_name()
        start = time.monotonic()
        work.launch(name)
        longest_s = 1.2 * (time.monotonic() - start)
        work.delete(name)
        for part, share in moments[number :: len(crew)]:
            strike_at(work, part, share * longest_s)

    with ThreadPoolExecutor() as threads:
        list(threads.map(take_turns, range(len(crew))))


def strike_at(work: Work, part: str, delay_s: float) -> None:
    """Kill the daemon so long after the beginning of a launch or delete, and look at what there is afterwards."""
    name = work.new_name()
    if part == "delete":
        work.launch(name)

    def quietly() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError, ValueError):
            (work.launch if part == "launch" else work.delete)(name)

    worker = threading.Thread(target=quietly)
    worker.start()
    time.sleep(delay_s)  # the moment under test
    work.daemon.kill()
    worker.join(timeout=60)
    work.revive(name)
    if work.status(name) != "gone":
        work.make_whole(name)
    work.launch(name)  # the same request again succeeds
    work.make_whole(name)


def test_a_spawner_killed_at_any_step_of_a_launch_harms_nothing(work: Work) -> None:
    bystander = work.new_name()
    work.launch(bystander, has_network=False)
    for label in work.effects_of_launch():
        if "containers/.running" in label or "spawner" in label or "transaction" in label:
            name = work.new_name()
            work.faults.arm("spawner", name, label)
            done = work.launch(name)
            assert label in work.faults.disarm(), label
            said = done[-1]["err"]
            assert done[-1]["status"] == "Success" or "liblxc" in said, said
            assert "Error(" not in said, said
            work.status(name)
            work.make_whole(name)
    work.make_whole(bystander)


def test_a_monitor_that_is_killed_takes_its_container_with_it(work: Work) -> None:
    name = work.new_name()
    work.launch(name)
    for _ in range(2):
        os.kill(monitor_of(work, name), signal.SIGKILL)
        eventually(lambda: work.says(name) == "Stopped", what="the end to be noticed")
        eventually(lambda: not leaks.of_stopped(work.daemon, name), what="what it left to go")  # behind the end
        assert work.daemon.operation("PUT", f"/1.0/instances/{name}/state", START)["status"] == "Success"
    work.make_whole(name)


def test_a_monitor_that_is_killed_while_no_daemon_looks_leaves_nothing(work: Work) -> None:
    name = work.new_name()
    work.launch(name)
    work.daemon.request("PATCH", f"/1.0/instances/{name}", {"config": {"boot.autostart": "false"}})
    monitor = monitor_of(work, name)
    work.daemon.kill()
    os.kill(monitor, signal.SIGKILL)
    work.daemon.start()
    assert work.status(name) == "Stopped"
    work.make_whole(name)


def monitor_of(work: Work, name: str) -> int:
    """The pid of a container's monitor."""
    pid = work.daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["PPid"])


def test_a_dnsmasq_that_is_killed_comes_back(work: Work) -> None:
    file = work.daemon.state / f"networks/{work.daemon.bridge}/dnsmasq.pid"
    before = int(file.read_text())
    os.kill(before, signal.SIGKILL)
    eventually(lambda: file.exists() and int(file.read_text() or before) != before, what="another one")
    name = work.new_name()
    work.launch(name)
    eventually(lambda: address_of(work, name), what="an address")  # whose lease goes with the instance
    work.make_whole(name)


def address_of(work: Work, name: str) -> str:
    """The IPv4 address that a container got, "" as long as it has none."""
    found = work.daemon.request("GET", f"/1.0/instances/{name}/state").metadata["network"]
    addresses = (found or {}).get("eth0", {}).get("addresses", [])
    return next((one["address"] for one in addresses if one["family"] == "inet"), "")


def test_a_launch_is_cancelled_through_the_api(work: Work) -> None:
    name = work.new_name()
    work.faults.arm("hold", name, IN_PLACE)
    body = {"name": name, "source": {"type": "image", "fingerprint": work.image}}
    url = work.daemon.request("POST", "/1.0/instances", body).envelope["operation"]
    eventually(lambda: IN_PLACE in work.faults.effects(), what="the launch to come to the step")
    assert work.daemon.request("GET", url).metadata["may_cancel"]
    assert work.daemon.request("DELETE", url).status == 200
    assert work.daemon.request("GET", url).metadata["status"] == "Cancelling"
    again = work.daemon.request("DELETE", url)
    assert (again.status, again.error) == (400, "Only running operations can be cancelled")
    work.faults.disarm()
    ended: Outcome = work.daemon.request("GET", f"{url}/wait").metadata
    assert (ended["status"], ended["status_code"]) == ("Cancelled", 401)
    assert work.status(name) == "gone"


@pytest.mark.parametrize("program", [OURS, STOCK], ids=["lxc", "stock-lxc"])
def test_control_c_takes_a_launch_back(work: Work, tmp_path: Path, program: Path) -> None:
    if not program.exists():
        pytest.skip("this distribution has no package lxd-client")
    name = work.new_name()
    work.faults.arm("hold", name, IN_PLACE)
    env = {**os.environ, **work.daemon.env, "HOME": str(tmp_path), "LXD_CONF": str(tmp_path)}
    words = [program, "launch", work.image[:12], name]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as client:
        eventually(lambda: IN_PLACE in work.faults.effects(), what="the launch to come to the step")
        client.send_signal(signal.SIGINT)
        eventually(lambda: "cancelling" in work.operations(), what="the daemon to be asked")
        work.faults.disarm()
        _, said = client.communicate(timeout=60)
    assert client.returncode != 0
    assert b"Traceback" not in said
    # The stock client does not wait for the end of what it cancelled.
    eventually(lambda: "cancelling" not in work.operations(), what="the launch to be taken back")
    assert work.status(name) == "gone"
