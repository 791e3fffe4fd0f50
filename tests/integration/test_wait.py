"""`lxc wait` and `lxc launch --wait`: until an instance is as far as one needs it, or why it is not."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.guest import Guest
from tests.harness.processes import eventually

TIMED_OUT = 124


@pytest.fixture
def waiting(lxc: Lxc) -> Iterator[list[subprocess.Popen[str]]]:
    """Programs that wait; those that still do at the end are ended."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for one in started:
        one.kill()
        one.communicate()


def begin(lxc: Lxc, waiting: list[subprocess.Popen[str]], *words: str) -> subprocess.Popen[str]:
    one = subprocess.Popen(
        [lxc.program, "wait", *words],
        env=lxc.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting.append(one)
    return one


def test_a_launch_that_waits_has_an_address_at_its_end(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc("launch", image, name, "--wait=ipv4").ok()
    assert lxc("list", name, "-c", "4", "-f", "csv").ok().stdout.strip()
    lxc("wait", name).ok()
    lxc("wait", name, "--for=ip,running").ok()


def test_a_port_is_waited_for_that_others_reach(lxc: Lxc, running: str) -> None:
    lxc("wait", running).ok()  # its lo is up
    assert lxc.run(running, "httpd", "-p", "127.0.0.1:7001").status == 0
    done = lxc("wait", running, "--for=tcp:7001", "--timeout=1")
    assert done.status == TIMED_OUT
    assert f"{running}: tcp:7001 has not come true within 1 s: port 7001 is listened at, but for" in done.stderr
    done = lxc("wait", running, "--for", "tcp:7002", "--timeout=0")
    assert (done.status, "nothing listens at port 7002" in done.stderr) == (TIMED_OUT, True)
    later = threading.Timer(1, lambda: lxc.run(running, "sh", "-c", "nc -l -p 7002 >/dev/null 2>&1 &"))
    later.start()
    lxc("wait", running, "--for=tcp:7002", "--timeout=60").ok()
    later.join()


def test_what_is_missing_is_told_with_the_last_lines_of_the_console(lxc: Lxc, image: str, name: str) -> None:
    done = lxc("launch", image, name, "--no-profiles", "-s", "default", "--wait", "--timeout=2")
    assert done.status == TIMED_OUT
    assert f"Error: {name}: ip has not come true within 2 s: it has no network card" in done.stderr
    assert "The last lines of its console:\n  busybox is up" in done.stderr
    assert "\x1b" not in done.stderr, "what a guest writes must not reach a terminal as it is"
    assert lxc.statuses()[name] == "Running"


def test_readiness_comes_by_an_event(
    daemon: Daemon, lxc: Lxc, running: str, waiting: list[subprocess.Popen[str]]
) -> None:
    one = begin(lxc, waiting, running, "--for=ready", "--timeout=-1")
    time.sleep(5)  # the pauses are long by now: two seconds
    assert one.poll() is None
    began = time.monotonic()
    assert Guest(daemon, running).ask("/1.0", "PATCH", '{"state": "Ready"}').status == 200
    assert one.wait(timeout=60) == 0
    assert time.monotonic() - began < 1.9
    done = lxc("wait", running, "--for=ready", "--timeout=0")
    assert done.status == 0


def test_an_instance_that_stops_is_not_waited_for(lxc: Lxc, running: str, waiting: list[subprocess.Popen[str]]) -> None:
    one, other = begin(lxc, waiting, running, "--for=ready"), begin(lxc, waiting, running, "--for=stopped")
    time.sleep(1)
    assert (one.poll(), other.poll()) == (None, None)
    lxc("stop", "--force", running).ok()
    assert other.wait(timeout=60) == 0
    told = one.communicate(timeout=60)[1]
    assert one.returncode == 1
    assert f"Error: {running} does not run (lxc start {running}), so ready cannot come true" in told
    third = begin(lxc, waiting, running, "--for=running")
    lxc("start", running).ok()
    assert third.wait(timeout=60) == 0


def test_one_that_is_restarted_meanwhile_is(lxc: Lxc, running: str, waiting: list[subprocess.Popen[str]]) -> None:
    one = begin(lxc, waiting, running, "--for=tcp:7003")
    time.sleep(0.5)
    lxc("restart", "--force", running).ok()
    lxc.run(running, "sh", "-c", "nc -l -p 7003 >/dev/null 2>&1 &")
    assert one.wait(timeout=60) == 0


def test_one_that_is_deleted_is_not(lxc: Lxc, running: str, waiting: list[subprocess.Popen[str]]) -> None:
    one = begin(lxc, waiting, running, "--for=ready")
    time.sleep(0.5)
    lxc("delete", "--force", running).ok()
    assert f"Error: There is no instance {running}" in one.communicate(timeout=60)[1]
    assert one.returncode == 1


def test_ctrl_c_leaves_the_instance_alone(lxc: Lxc, running: str, waiting: list[subprocess.Popen[str]]) -> None:
    one = begin(lxc, waiting, running, "--for=ready")
    time.sleep(1)
    one.send_signal(signal.SIGINT)
    assert one.wait(timeout=60) == -signal.SIGINT
    assert lxc.statuses()[running] == "Running"


def test_cloud_init_where_there_is_none(lxc: Lxc, running: str) -> None:
    lxc("wait", running, "--for=cloud-init").failed(f"Error: {running} has no cloud-init")


def test_what_cloud_init_writes_is_read(lxc: Lxc, running: str) -> None:
    """As cloud-init 22 and later write them; a real one is waited for in test_debian."""
    lxc("file", "push", "-", f"{running}/usr/bin/cloud-init", stdin="#!/bin/sh\n").ok()
    done = lxc("wait", running, "--for=cloud-init", "--timeout=0")
    assert (done.status, "cloud-init has not begun" in done.stderr) == (TIMED_OUT, True)
    write = "mkdir -p /run/cloud-init /var/lib/cloud/data; cd /run/cloud-init; "
    link = "ln -sf ../../var/lib/cloud/data/result.json result.json"
    lxc.run(running, "sh", "-c", write + """echo '{"v1": {"stage": "modules-config"}}' >status.json""")
    done = lxc("wait", running, "--for=cloud-init", "--timeout=0")
    assert (done.status, "cloud-init is at modules-config" in done.stderr) == (TIMED_OUT, True)
    broken = """echo '{"v1": {"datasource": "x", "errors": ["it broke"]}}' >/var/lib/cloud/data/result.json; """
    lxc.run(running, "sh", "-c", write + broken + link)
    lxc("wait", running, "--for=cloud-init").failed("ended with errors: it broke")
    lxc.run(running, "sh", "-c", write + """echo '{"v1": {"errors": []}}' >/var/lib/cloud/data/result.json""")
    lxc("wait", running, "--for=cloud-init").ok()


@pytest.mark.parametrize("wanted", ["", "what", "tcp:", "tcp:0", "tcp:65536", "tcp:http", "ip,,ready"])
def test_what_cannot_be_waited_for_is_refused(lxc: Lxc, image: str, name: str, wanted: str) -> None:
    lxc("launch", image, name, f"--wait={wanted}").failed("Error: Cannot wait for")
    assert name not in lxc.statuses()
    lxc("wait", name, f"--for={wanted}").failed("Error: Cannot wait for")


def test_few_requests_are_made(daemon: Daemon, lxc: Lxc, running: str) -> None:
    before = daemon.log.read_text().count("/1.0/instances/" + running)
    assert lxc("wait", running, "--for=ready", "--timeout=10").status == TIMED_OUT
    assert eventually(lambda: daemon.log.read_text().count("/1.0/instances/" + running)) - before < 30
