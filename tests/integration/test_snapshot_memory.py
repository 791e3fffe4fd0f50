"""Memory of stateful snapshots in copies, in other pools and on other servers of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import discard, home, watched
from tests.harness import memory
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.memory import Counting

AT_SNAPSHOT = 1  # how often it had been asked


@pytest.fixture(scope="module")
def here() -> Iterator[Daemon]:
    """A daemon that has criu, and a second pool of another driver."""

    def prepare(daemon: Daemon) -> None:
        memory.add_image(daemon.start().initialise(driver="overlay"))
        for pool in (
            {"name": "plain", "driver": "dir"},
            {"name": "sub", "driver": "btrfs", "config": {"size": "1GiB"}},
        ):
            assert daemon.request("POST", "/1.0/storage-pools", pool).status == 201

    yield from watched(prepare, memory.daemon_with_criu())


@pytest.fixture(scope="module")
def there() -> Iterator[Daemon]:
    """Another server, with a pool of plain directories."""
    yield from watched(
        lambda daemon: memory.add_image(daemon.start().initialise(driver="dir")), memory.daemon_with_criu()
    )


@pytest.fixture(scope="module")
def client(here: Daemon, there: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lxc]:
    """A client that knows both."""
    with memory.linked(here, there, home(tmp_path_factory.mktemp("client"))) as client:
        yield client


@pytest.fixture
def warm(here: Daemon, there: Daemon) -> Iterator[Counting]:
    """A stopped container with the stateful snapshot `warm`, after which it was asked once more."""
    made = Counting(here).start()
    made.inside("echo then >/root/file")
    made.lxc.say("snapshot", made.name, "warm", "--stateful")
    made.inside("echo now >/root/file")
    made.check()
    made.lxc.say("stop", "--force", made.name)
    yield made
    for daemon in (here, there):
        for name in (made.name, f"{made.name}-copy"):
            discard(daemon, name)


def comes_back(counting: Counting) -> None:
    """Its memory of the snapshot does, with the files of that moment."""
    counting.lxc.say("restore", counting.name, "warm", "--stateful")
    counting.asked = AT_SNAPSHOT
    counting.check()
    assert counting.inside("cat /root/file") == "then\n"


def is_stateful(daemon: Daemon, name: str) -> bool:
    """Whether its snapshot says that it has memory."""
    return daemon.request("GET", f"/1.0/instances/{name}/snapshots/warm").metadata["stateful"]


@pytest.mark.parametrize("options", [[], ["--storage", "plain"], ["--storage", "sub"]], ids=["same", "dir", "btrfs"])
def test_a_copy_has_the_memory_of_its_snapshots(warm: Counting, options: list[str]) -> None:
    copy = f"{warm.name}-copy"
    warm.lxc.say("copy", warm.name, copy, *options)
    warm.lxc.say("delete", f"{warm.name}/warm")
    warm.name = copy
    comes_back(warm)
    warm.lxc.say("stop", copy, "--stateful")  # criu finds its cgroups, which have another name now
    warm.lxc.say("start", copy)
    warm.check()


def test_a_refreshed_copy_gets_the_memory_of_a_new_snapshot(warm: Counting) -> None:
    copy = f"{warm.name}-copy"
    warm.lxc.say("copy", warm.name, copy, "--instance-only")
    warm.lxc.say("copy", "--refresh", warm.name, copy)
    assert is_stateful(warm.daemon, copy)
    warm.name = copy
    comes_back(warm)


def test_a_move_to_another_pool_takes_it_along(warm: Counting) -> None:
    for pool in ("plain", "sub"):
        warm.lxc.say("move", warm.name, "--storage", pool)
        comes_back(warm)
        warm.lxc.say("stop", "--force", warm.name)
    copy = f"{warm.name}-copy"
    warm.lxc.say("copy", warm.name, copy)
    warm.name = copy
    comes_back(warm)


@pytest.mark.parametrize("verb", ["copy", "move"])
def test_another_server_gets_it(client: Lxc, there: Daemon, warm: Counting, verb: str) -> None:
    client.say(verb, f"here:{warm.name}", f"there:{warm.name}")
    comes_back(warm.moved_to(there))


def test_a_refresh_between_servers_brings_it(client: Lxc, there: Daemon, warm: Counting) -> None:
    client.say("copy", f"here:{warm.name}", f"there:{warm.name}", "--instance-only")
    client.say("copy", "--refresh", f"here:{warm.name}", f"there:{warm.name}")
    assert is_stateful(there, warm.name)
    comes_back(warm.moved_to(there))


def test_a_live_move_takes_the_memory_of_snapshots_too(client: Lxc, there: Daemon, warm: Counting) -> None:
    comes_back(warm)
    client.say("move", f"here:{warm.name}", f"there:{warm.name}")
    warm.moved_to(there).check()
    comes_back(warm)
