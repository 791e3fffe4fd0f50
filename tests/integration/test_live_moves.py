"""Running containers between two daemons of ours: their processes go on over there, or here."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.conftest import discard, home, watched
from tests.harness import memory
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.memory import Counting
from tests.harness.processes import eventually


def _prepared(driver: str) -> Iterator[Daemon]:
    def prepare(daemon: Daemon) -> None:
        memory.add_image(daemon.start().initialise(driver=driver))

    yield from watched(prepare, memory.daemon_with_criu())


@pytest.fixture(scope="module")
def here() -> Iterator[Daemon]:
    """The daemon that has the container first."""
    yield from _prepared("overlay")


@pytest.fixture(scope="module")
def there() -> Iterator[Daemon]:
    """Another one, with a pool of plain directories."""
    yield from _prepared("dir")


@pytest.fixture(scope="module")
def client(here: Daemon, there: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lxc]:
    """A client that knows both."""
    with memory.linked(here, there, home(tmp_path_factory.mktemp("client"))) as client:
        yield client


@pytest.fixture
def counting(here: Daemon, there: Daemon) -> Iterator[Counting]:
    """A container that counts, here."""
    made = Counting(here).start()
    yield made
    for daemon in (here, there):
        discard(daemon, made.name)


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_processes_go_on_over_there(client: Lxc, there: Daemon, counting: Counting, mode: str) -> None:
    counting.inside("echo told >/root/file")
    counting.lxc.say("snapshot", counting.name, "s1")
    client.say("move", f"here:{counting.name}", f"there:{counting.name}", "--mode", mode)
    assert counting.daemon.request("GET", f"/1.0/instances/{counting.name}").status == 404
    counting.moved_to(there).check()
    assert counting.inside("cat /root/file") == "told\n"
    assert counting.record["stateful"] is False
    assert len(there.request("GET", f"/1.0/instances/{counting.name}/snapshots").metadata) == 1
    counting.lxc.say("stop", counting.name, "--stateful")
    counting.lxc.say("start", counting.name)
    counting.check()


def test_memory_is_not_sent_step_by_step_and_that_is_told(client: Lxc, there: Daemon, counting: Counting) -> None:
    counting.lxc.say("config", "set", counting.name, "migration.incremental.memory=true")
    client.say("move", f"here:{counting.name}", f"there:{counting.name}")
    assert "migration.incremental.memory has no effect" in counting.daemon.log.read_text()
    counting.moved_to(there).check()


def test_what_cannot_be_sent_is_refused_and_goes_on_here(client: Lxc, there: Daemon, counting: Counting) -> None:
    counting.inside("setsid unshare -u sleep 1000 </dev/null >/dev/null 2>&1 &")
    counting.inside("until [ $(pidof sleep | wc -w) -ge 2 ]; do sleep 0.05; done")
    done = client("move", f"here:{counting.name}", f"there:{counting.name}")
    for words in ("Unable to perform container live migration", "uts namespace", "--stateless"):
        assert words in done.failed().stderr
    counting.check()
    assert there.instance_names() == []


def test_what_cannot_be_brought_back_there_goes_on_here(client: Lxc, there: Daemon, counting: Counting) -> None:
    moved = ("move", f"here:{counting.name}", f"there:{counting.name}")
    done = client(*moved, "-c", "security.idmap.isolated=true")
    assert "id map" in done.failed().stderr
    counting.check()
    assert there.instance_names() == []
    client.say(*moved)
    counting.moved_to(there).check()


def test_memory_that_is_kept_is_not_lost_by_a_move(client: Lxc, there: Daemon, counting: Counting) -> None:
    counting.lxc.say("stop", counting.name, "--stateful")
    moved = ("move", f"here:{counting.name}", f"there:{counting.name}")
    assert "would not come along" in client(*moved).failed().stderr
    counting.lxc.say("start", counting.name)
    client.say(*moved)
    counting.moved_to(there).check()


def test_a_copy_needs_stateless_and_stops_nothing(client: Lxc, there: Daemon, counting: Counting) -> None:
    copied = ("copy", f"here:{counting.name}", f"there:{counting.name}")
    assert "can be moved, not copied" in client(*copied).failed().stderr
    assert there.instance_names() == []
    client.say(*copied, "--stateless")
    assert there.request("GET", f"/1.0/instances/{counting.name}").metadata["status"] == "Stopped"
    counting.check()


def test_a_target_that_is_killed_never_lets_it_run_twice(client: Lxc, there: Daemon, counting: Counting) -> None:
    """The target dies at any moment: then it runs here, or is stopped here with its memory, or runs there."""
    for delay_s in (0.5, 1.5, 2.5, 3.5):
        words = [client.program, "move", f"here:{counting.name}", f"there:{counting.name}"]
        moving = subprocess.Popen(words, env={**os.environ, **client.env}, stderr=subprocess.DEVNULL)
        time.sleep(delay_s)  # wherever it is by then
        there.kill()
        there.start()
        moving.wait(timeout=60)
        eventually(lambda: is_at_rest(counting.daemon) and is_at_rest(there), what="both to be at rest")
        found = [daemon for daemon in (counting.daemon, there) if runs(daemon, counting.name)]
        assert len(found) < 2
        if found == [there]:
            counting.moved_to(there).check()
            return
        if not found:
            assert counting.record["stateful"] is True
            for name in there.instance_names():
                discard(there, name)
            counting.lxc.say("start", counting.name)
        counting.check()
        assert there.instance_names() == []


@pytest.mark.parametrize("blow", ["cancel", "kill"])
def test_a_source_that_is_struck_never_lets_it_run_twice(
    client: Lxc, there: Daemon, counting: Counting, blow: str
) -> None:
    """It is struck while the target restores; the target's record tells of that moment."""
    words = [client.program, "move", f"here:{counting.name}", f"there:{counting.name}"]
    moving = subprocess.Popen(words, env={**os.environ, **client.env}, stderr=subprocess.DEVNULL)
    eventually(lambda: is_handed_over(counting), what="the last files to be sent")
    if blow == "kill":
        counting.daemon.kill()
        counting.daemon.start()
    else:
        (found,) = counting.daemon.request("GET", "/1.0/operations").metadata["running"]
        counting.daemon.request("DELETE", found)
    moving.wait(timeout=60)
    eventually(lambda: is_at_rest(counting.daemon) and is_at_rest(there), what="both to be at rest")
    running = [daemon for daemon in (counting.daemon, there) if runs(daemon, counting.name)]
    assert len(running) < 2
    if blow == "cancel":  # it was decided at once: there, or here
        assert len(running) == 1
    if running == [there]:
        counting.moved_to(there)
    elif not running:
        assert there.instance_names() == []
        counting.lxc.say("start", counting.name)
    counting.check()


def is_handed_over(counting: Counting) -> bool:
    """Whether its record says that it may run elsewhere."""
    config = counting.record["config"]
    return isinstance(config, dict) and "volatile.last_state.handed_over" in config


def is_at_rest(daemon: Daemon) -> bool:
    """Whether no operation runs."""
    return "running" not in daemon.request("GET", "/1.0/operations").metadata


def runs(daemon: Daemon, name: str) -> bool:
    """Whether it has an instance of this name that runs."""
    answer = daemon.request("GET", f"/1.0/instances/{name}")
    return answer.status == 200 and answer.metadata["status"] == "Running"
