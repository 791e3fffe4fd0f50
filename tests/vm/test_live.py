"""Memory of containers by the distribution's criu, on a kernel with cgroup v2 and AppArmor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import discard, home, watched
from tests.harness import memory
from tests.harness.client import ClientFailure
from tests.harness.daemon import Daemon
from tests.harness.memory import Counting


def _prepared() -> Iterator[Daemon]:
    yield from watched(lambda daemon: memory.add_image(daemon.start().initialise()), memory.daemon_with_criu())


@pytest.fixture(scope="module")
def here() -> Iterator[Daemon]:
    """A daemon that has criu."""
    yield from _prepared()


@pytest.fixture(scope="module")
def there() -> Iterator[Daemon]:
    """Another one."""
    yield from _prepared()


@pytest.fixture
def counting(here: Daemon, there: Daemon) -> Iterator[Counting]:
    """A container that counts, on the first daemon."""
    made = Counting(here).start()
    yield made
    for daemon in (here, there):
        discard(daemon, made.name)


def test_a_stateful_stop_and_start(counting: Counting) -> None:
    address = counting.await_address()
    counting.lxc.say("stop", counting.name, "--stateful")
    counting.lxc.say("start", counting.name)
    counting.check()
    assert counting.await_address() == address
    with pytest.raises(ClientFailure, match="freezer of such a one on cgroup v2"):  # of liblxc 5
        counting.lxc.say("stop", counting.name, "--stateful")
    counting.check()


def test_a_stateful_snapshot_and_restore(counting: Counting) -> None:
    counting.lxc.say("snapshot", counting.name, "warm", "--stateful")
    at_snapshot = counting.asked
    counting.check()
    counting.lxc.say("restore", counting.name, "warm", "--stateful")
    counting.asked = at_snapshot
    counting.check()


def test_a_running_container_is_moved_to_another_daemon_with_its_memory(
    here: Daemon, there: Daemon, counting: Counting, tmp_path: Path
) -> None:
    with memory.linked(here, there, home(tmp_path)) as client:
        client.say("move", f"here:{counting.name}", f"there:{counting.name}")
    assert here.instance_names() == []
    counting.moved_to(there).check()
