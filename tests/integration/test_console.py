"""The console of a container, its log, and what liblxc wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.client_lxc import OURS, Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually
from tests.harness.terminal import Terminal


@contextmanager
def attached(lxc: Lxc, name: str) -> Iterator[Terminal]:
    """A console at whose prompt somebody sits; the client has gone when the context ends."""
    terminal = Terminal([str(lxc.program), "console", name], lxc.env)
    try:
        terminal.expect("To detach from the console, press: <ctrl>+a q")
        terminal.type("\n")
        terminal.expect("/ #")
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()


def leave(terminal: Terminal) -> None:
    terminal.type("\x01")
    terminal.type("q")
    assert terminal.end() == 0


def test_the_console_shows_and_takes_text_and_lets_go(either: Lxc, running: str) -> None:
    with attached(either, running) as terminal:
        terminal.type("echo typed$((40+2))\n")
        terminal.expect("typed42")
        leave(terminal)


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


def test_the_console_is_as_large_as_the_window(either: Lxc, running: str) -> None:
    with attached(either, running) as terminal:
        for width, height in ((120, 30), (81, 25)):
            terminal.resize(width, height)
            eventually(lambda size=f"{height} {width}": size_of(either, running) == size, what="the new size")
        leave(terminal)


def size_of(lxc: Lxc, name: str) -> str:
    return lxc("exec", name, "--", "sh", "-c", "stty size </dev/console").ok().stdout.strip()


def test_who_attaches_later_takes_the_console_over(either: Lxc, lxc: Lxc, running: str) -> None:
    with attached(either, running) as first, attached(lxc, running) as second:
        assert first.end() == 0
        second.type("echo still$((40+2))\n")
        second.expect("still42")
        leave(second)


def test_detaching_leaves_the_console_to_the_next(either: Lxc, running: str) -> None:
    for _ in range(5):
        with attached(either, running) as terminal:
            leave(terminal)


def test_a_client_that_is_killed_lets_go_of_the_console(either: Lxc, running: str) -> None:
    with attached(either, running) as terminal:
        terminal.process.kill()
        terminal.end()
    with attached(either, running) as terminal:
        leave(terminal)


def test_the_console_ends_with_the_instance(either: Lxc, running: str) -> None:
    with attached(either, running) as terminal:
        either("stop", "--force", running).ok()
        assert terminal.end() == 0


def test_the_console_is_there_again_after_a_restart_of_the_daemon(fresh_daemon: Daemon, fresh_image: str) -> None:
    lxc = Lxc(OURS, fresh_daemon.env, fresh_daemon.state)
    lxc.launch(fresh_image, "c1")
    with attached(lxc, "c1") as terminal:
        fresh_daemon.restart()
        terminal.end()
    with attached(lxc, "c1") as terminal:
        terminal.type("echo again$((40+2))\n")
        terminal.expect("again42")
        fresh_daemon.kill()
        terminal.end()
    fresh_daemon.start()
    with attached(lxc, "c1") as terminal:
        leave(terminal)
    assert "again42" in lxc("console", "c1", "--show-log").ok().stdout


def test_a_console_that_cannot_be_had_is_told(daemon: Daemon, lxc: Lxc, running: str) -> None:
    url = f"/1.0/instances/{running}/console"
    assert daemon.request("POST", url, {"type": "vga"}).error == "VGA console is only supported by virtual machines"
    assert daemon.request("POST", url, {"type": "x"}).error == 'Unknown console type "x"'
    lxc("pause", running).ok()
    assert "Instance is frozen" in daemon.request("POST", url, {"width": 80, "height": 25}).error
    lxc("stop", "--force", running).ok()
    assert "Instance is not running" in daemon.request("POST", url, {"width": 80, "height": 25}).error


def test_the_log_of_a_stopped_instance_can_be_read_and_cleared(daemon: Daemon, either: Lxc, running: str) -> None:
    url = f"/1.0/instances/{running}/console"
    eventually(lambda: b"busybox is up" in daemon.request("GET", url).body, what="the line in the log")
    either("stop", "--force", running).ok()
    assert "busybox is up" in either("console", running, "--show-log").ok().stdout
    assert daemon.request("DELETE", url).status == 200
    assert daemon.request("GET", url).body == b""


def test_reading_the_log_takes_nothing_away(either: Lxc, running: str) -> None:
    words = ("console", running, "--show-log")
    eventually(lambda: "/ #" in either(*words).ok().stdout, what="the prompt in the log")
    assert either(*words).ok().stdout == either(*words).ok().stdout
    either("stop", "--force", running).ok()
    assert "busybox is up" in either(*words).ok().stdout


def test_a_guest_that_floods_its_console_fills_no_disk(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc(
        "exec", running, "--", "sh", "-c", "yes 0123456789 | head -c 2000000 >/dev/console; echo over >/dev/console"
    ).ok()
    url = f"/1.0/instances/{running}/console"
    eventually(lambda: b"over" in daemon.request("GET", url).body, what="the last line")
    assert 100_000 < len(daemon.request("GET", url).body) <= 131_072
    logs = (daemon.state / "logs" / running).glob("console.log*")
    assert sum(log.stat().st_size for log in logs) < 300_000
    assert daemon.request("DELETE", url).status == 200
    assert daemon.request("GET", url).body == b""


def test_a_start_begins_a_new_log(daemon: Daemon, lxc: Lxc, running: str) -> None:
    lxc("exec", running, "--", "sh", "-c", "echo from the first start >/dev/console").ok()
    url = f"/1.0/instances/{running}/console"
    eventually(lambda: b"first start" in daemon.request("GET", url).body, what="the line in the log")
    lxc("restart", "--force", running).ok()
    eventually(lambda: b"busybox is up" in daemon.request("GET", url).body, what="the line in the log")
    assert b"first start" not in daemon.request("GET", url).body


def test_logs_that_must_stay_stay(daemon: Daemon, running: str) -> None:
    url = f"/1.0/instances/{running}/logs"
    assert daemon.request("DELETE", f"{url}/lxc.conf").error == "lxc.log and lxc.conf may not be deleted"
    assert daemon.request("GET", f"{url}/exec_x.stdout").error == "Not Found"
    assert daemon.request("GET", f"{url}/console.log").error == "log file name console.log not valid"
