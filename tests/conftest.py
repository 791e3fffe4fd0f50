"""Fixtures that every kind of test may ask for; none of them does anything until asked."""

from __future__ import annotations

import gc
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import images, leaks
from tests.harness.client import Client
from tests.harness.client_lxc import OURS, STOCK, Lxc
from tests.harness.client_pylxd import Pylxd
from tests.harness.daemon import Daemon

pytest_plugins = ["tests.harness.workers"]
IMAGE = "test-busybox"
STRUCK = "struck"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--against`: what these tests say can be compared with what the real LXD does."""
    parser.addoption("--against", metavar="LXD_DIR", help="test the daemon that runs there instead of one of our own")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pylxd leaves its sockets to the garbage collector and its threads to themselves: no failure of ours."""
    for item in items:
        if isinstance(item, pytest.Function) and "pylxd" in item.name:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many effects were made to fail, to kill or to be cancelled (tests/faults)."""
    reports = [one for one in terminalreporter.stats.get("", []) if isinstance(one, pytest.TestReport)]  # teardowns
    struck = Counter[str]()
    for one in reports:
        for name, value in one.user_properties:
            if name == STRUCK:
                struck[one.nodeid.partition("::")[0].rpartition("/")[2]] += int(str(value))
    if struck:
        verb = "counted" if os.environ.get("FAULTS") == "count" else "struck"
        each = ", ".join(f"{file} {count}" for file, count in sorted(struck.items()))
        terminalreporter.write_line(f"{struck.total()} effects were {verb}: {each}")


class Foreign(Daemon):
    """A daemon that somebody else started and set up: used as it is, never stopped."""

    def __init__(self, state: Path) -> None:
        self.state, self.bridge, self.log, self.process = state, "", state / "lxd.log", None
        self._extra = {}

    def forget(self) -> None:
        """Leave it alone."""

    def remove(self) -> None:
        """Leave it alone."""


@pytest.fixture(scope="session")
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """The session's daemon, set up as `lxd init` does; at the end it must have left nothing behind."""
    against = request.config.getoption("--against")
    if against:
        yield Foreign(Path(against))
        return
    yield from watched(lambda daemon: daemon.start().initialise())


@pytest.fixture
def fresh_daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon for this test alone, running and set up, to be killed, restarted and broken."""
    if request.config.getoption("--against"):
        pytest.skip("needs a daemon that may be killed")
    yield from watched(lambda daemon: daemon.start().initialise())


@pytest.fixture
def bare_daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A state directory in which nothing was started yet."""
    if request.config.getoption("--against"):
        pytest.skip("needs a daemon that may be killed")
    yield from watched(lambda _: None)


def watched(prepare: Callable[[Daemon], object], daemon: Daemon | None = None) -> Iterator[Daemon]:
    """A daemon that was prepared so; at the end it must have left nothing behind."""
    before = leaks.take()
    daemon = daemon or Daemon()
    try:
        prepare(daemon)
    except BaseException:
        if daemon.process is not None:
            daemon.kill()
        daemon.remove()
        raise
    try:
        yield daemon
    finally:
        daemon.forget()
        left = leaks.find(before, [daemon])
        daemon.remove()
        assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def image(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The alias of an image that boots in a few milliseconds."""
    yield from _image(daemon, tmp_path_factory.mktemp("image"))


@pytest.fixture
def fresh_image(fresh_daemon: Daemon, tmp_path: Path) -> Iterator[str]:
    """The same image on the test's own daemon."""
    yield from _image(fresh_daemon, tmp_path)


def _image(daemon: Daemon, folder: Path) -> Iterator[str]:
    data = images.unified(folder / "busybox.tar.gz").read_bytes()
    finished = daemon.operation("POST", "/1.0/images", data)
    assert finished["status"] == "Success", finished
    fingerprint = finished["metadata"]["fingerprint"]
    created = daemon.request("POST", "/1.0/images/aliases", {"name": IMAGE, "target": fingerprint})
    assert created.status == 201, created.body
    yield IMAGE
    if isinstance(daemon, Foreign):
        daemon.operation("DELETE", f"/1.0/images/{fingerprint}")


def home(folder: Path) -> Path:
    # With a configuration file there is no hint for first-time users on standard error.
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yml").write_text("default-remote: local\n")
    return folder


@pytest.fixture
def lxc(daemon: Daemon, tmp_path: Path) -> Lxc:
    """Our `lxc`, with a configuration of its own."""
    return Lxc(OURS, daemon.env, home(tmp_path / "lxc"))


@pytest.fixture(scope="module")
def module_lxc(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Lxc:
    """Our `lxc` for what a whole module shares."""
    return Lxc(OURS, daemon.env, home(tmp_path_factory.mktemp("lxc")))


@pytest.fixture
def stock(daemon: Daemon, tmp_path: Path) -> Lxc:
    """Debian's `lxc`."""
    if not STOCK.exists():
        pytest.skip("this distribution has no package lxd-client")
    return Lxc(STOCK, daemon.env, home(tmp_path / "stock"))


@pytest.fixture(params=["lxc", "stock-lxc"])
def either(request: pytest.FixtureRequest) -> Lxc:
    """Each `lxc` program in turn."""
    return request.getfixturevalue("lxc" if request.param == "lxc" else "stock")


@pytest.fixture(params=["lxc", "stock-lxc", "pylxd"])
def client(request: pytest.FixtureRequest, daemon: Daemon) -> Iterator[Client]:
    """Each of the three clients in turn."""
    if request.param == "pylxd":
        yield Pylxd(daemon.state)
        gc.collect()  # see pytest_collection_modifyitems
    else:
        yield request.getfixturevalue("lxc" if request.param == "lxc" else "stock")


@pytest.fixture
def name(daemon: Daemon) -> Iterator[str]:
    """A name that no instance has; what the test made under it, or it and a number, is deleted afterwards."""
    chosen = f"t-{secrets.token_hex(4)}"
    yield chosen
    for made in daemon.instance_names():
        if made == chosen or made.startswith(f"{chosen}-"):
            discard(daemon, made)


def discard(daemon: Daemon, name: str) -> None:
    """Delete an instance whatever its state, if it is there."""
    answer = daemon.request("GET", f"/1.0/instances/{name}")
    if answer.status == 404:
        return
    if answer.metadata["status"] != "Stopped":
        daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True, "timeout": 30})
    if daemon.request("GET", f"/1.0/instances/{name}").status == 200:
        daemon.operation("DELETE", f"/1.0/instances/{name}")


@pytest.fixture
def running(daemon: Daemon, image: str, name: str) -> str:
    """The name of a running instance."""
    source = {"type": "image", "alias": image}
    created = daemon.operation("POST", "/1.0/instances", {"name": name, "source": source, "type": "container"})
    assert created["status"] == "Success", created
    started = daemon.operation("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})
    assert started["status"] == "Success", started
    return name
