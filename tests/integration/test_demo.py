"""`scripts/demo` and `scripts/clean-demo`: what a newcomer types first, on a state directory of the test's own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import leaks
from tests.harness.daemon import PREFIX, Daemon
from tests.harness.processes import REPOSITORY, Done, eventually, run


class Demo(Daemon):
    """What the demo starts, and its two commands."""

    def __init__(self, state: Path) -> None:
        self.state, self.bridge, self._extra = state, "", {}

    def command(self, name: str) -> Done:
        """Run `demo` or `clean-demo`."""
        done = run([REPOSITORY / "scripts" / name], env={"DEMO_DIR": str(self.state)}, timeout_s=90)
        if name == "demo" and done.status == 0:
            (self.bridge,) = (entry.name for entry in (self.state / "networks").iterdir())
        return done

    @property
    def pid(self) -> int:
        """The process id of its daemon."""
        return self.request("GET", "/1.0").metadata["environment"]["server_pid"]


@pytest.fixture
def demo(request: pytest.FixtureRequest) -> Iterator[Demo]:
    """A place for a demo; whatever the test did, `clean-demo` must leave nothing of it."""
    if request.config.getoption("--against"):
        pytest.skip("the demo starts a daemon of its own")
    before = leaks.take()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/var/tmp"))
    folder.chmod(0o711)
    one = Demo(folder / "demo")
    yield one
    one.command("clean-demo").ok()
    left = leaks.find(before, [one])
    assert not left, "left behind:\n" + "\n".join(left)
    assert not Path(f"/run/lxc/lock{one.state}").exists()
    folder.rmdir()


def test_it_ends_with_a_running_container_and_says_what_to_type_next(demo: Demo) -> None:
    shown = demo.command("demo").ok().stdout
    assert re.search(r"^uid=0\(root\) gid=0\(root\)", shown, re.MULTILINE), shown
    assert re.search(r"^\| demo \| RUNNING \| [0-9.]+ \(eth0\)", shown, re.MULTILINE), shown
    typed = re.search(r"^ {4}export (.*)$", shown, re.MULTILINE)
    assert typed, shown
    again = run(["sh", "-c", f"export {typed[1]}; lxc exec demo -- hostname"])
    assert again.ok().stdout == "demo\n"


def test_a_second_run_does_nothing_twice(demo: Demo) -> None:
    demo.command("demo").ok()
    pid, created = demo.pid, demo.request("GET", "/1.0/instances/demo").metadata["created_at"]
    shown = demo.command("demo").ok().stdout
    assert not re.search(r"Starting|launch build:busybox demo|lxd init", shown), shown
    assert (demo.pid, demo.request("GET", "/1.0/instances/demo").metadata["created_at"]) == (pid, created)


@pytest.mark.parametrize("said", ["Starting the daemon", "lxd init", "lxc launch"])
def test_a_run_goes_on_where_an_earlier_one_was_killed(demo: Demo, said: str) -> None:
    with subprocess.Popen(
        [REPOSITORY / "scripts/demo"],
        env={**os.environ, "DEMO_DIR": str(demo.state)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as first:
        assert first.stdout
        assert any(said in line for line in first.stdout)
        os.killpg(first.pid, signal.SIGKILL)
    assert "| demo | RUNNING |" in demo.command("demo").ok().stdout


@pytest.mark.parametrize("starts_again", [True, False])
def test_a_killed_daemon_and_monitor_are_cleaned_up_too(demo: Demo, starts_again: bool) -> None:
    demo.command("demo").ok()
    init = demo.request("GET", "/1.0/instances/demo/state").metadata["pid"]
    os.kill(demo.pid, signal.SIGKILL)
    status = Path(f"/proc/{init}/status").read_text()
    monitor = re.search(r"^PPid:\s+(\d+)", status, re.MULTILINE)
    assert monitor
    os.kill(int(monitor[1]), signal.SIGKILL)
    if not starts_again:
        (demo.state / "lxd.db").touch()  # what tells a real LXD's state directory
    cleaned = demo.command("clean-demo").ok()
    assert ("swept away" in cleaned.stderr) is not starts_again, cleaned.stderr
    eventually(lambda: not Path(f"/proc/{init}").exists(), what="the container's init to end")


def test_clean_demo_without_a_demo_says_so(demo: Demo) -> None:
    assert "there is no demo" in run([REPOSITORY / "scripts/clean-demo"], env={"DEMO_DIR": str(demo.state)}).ok().stdout
    demo.command("demo").ok()
