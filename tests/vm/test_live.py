"""Memory of containers by the distribution's criu, on a kernel with cgroup v2 and AppArmor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import watched
from tests.harness import memory
from tests.harness.daemon import Daemon
from tests.harness.memory import Counting


@pytest.fixture(scope="module")
def keeper() -> Iterator[Daemon]:
    """A daemon that has criu."""
    yield from watched(lambda daemon: memory.add_image(daemon.start().initialise()), memory.daemon_with_criu())


def test_a_stateful_stop_and_start(keeper: Daemon) -> None:
    counting = Counting(keeper).start()
    try:
        counting.lxc.say("stop", counting.name, "--stateful")
        counting.lxc.say("start", counting.name)
        counting.check()
    finally:
        print(counting.lxc("query", f"/1.0/instances/{counting.name}/logs/migration_dump.log").stdout[-3000:])
        print(counting.lxc("query", f"/1.0/instances/{counting.name}/logs/migration_restore.log").stdout[-3000:])
        print(counting.lxc("query", f"/1.0/instances/{counting.name}/logs/lxc.log").stdout[-3000:])
        counting.lxc("delete", "--force", counting.name)
