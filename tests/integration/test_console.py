"""The console of a container, its log, and what liblxc wrote."""

from __future__ import annotations

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.harness.terminal import Terminal


def test_the_console_shows_and_takes_text_and_lets_go(either: Lxc, running: str) -> None:
    terminal = Terminal([str(either.program), "console", running], either.env)
    terminal.expect("To detach from the console, press: <ctrl>+a q")
    terminal.type("\n")
    terminal.expect("/ #")
    terminal.type("echo typed$((40+2))\n")
    terminal.expect("typed42")
    terminal.type("\x01")
    terminal.type("q")
    assert terminal.end() == 0


def test_the_console_log_keeps_what_was_printed_at_boot(either: Lxc, running: str) -> None:
    eventually(
        lambda: "busybox is up" in either("console", running, "--show-log").ok().stdout, what="the line in the log"
    )


def test_the_console_log_can_be_cleared(daemon: Daemon, running: str) -> None:
    url = f"/1.0/instances/{running}/console"
    eventually(lambda: b"busybox is up" in daemon.request("GET", url).body, what="the line in the log")
    assert daemon.request("DELETE", url).status == 200
    assert b"busybox is up" not in daemon.request("GET", url).body


def test_the_logs_of_liblxc_are_listed_and_read(either: Lxc, daemon: Daemon, running: str) -> None:
    listed = daemon.request("GET", f"/1.0/instances/{running}/logs").metadata
    assert f"/1.0/instances/{running}/logs/lxc.conf" in listed
    conf = daemon.request("GET", f"/1.0/instances/{running}/logs/lxc.conf").body.decode()
    assert "lxc.idmap" in conf
    assert "Log:" in either("info", running, "--show-log").ok().stdout


def test_a_name_that_is_no_log_is_refused(daemon: Daemon, running: str) -> None:
    for name in ("..%2f..%2funix.socket", "passwd", "lxc.conf%00"):
        assert daemon.request("GET", f"/1.0/instances/{running}/logs/{name}").status >= 400
