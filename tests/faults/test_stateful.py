"""Every effect of keeping memory and of bringing it back: what if it fails, or is the daemon's last?

Afterwards the processes run on where they were, or their memory is whole and they can be brought back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import at_work
from tests.faults.strikes import strike, succeeded
from tests.faults.work import STOP, Outcome, Work
from tests.harness import images, memory
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

CREW, SAMPLE, LEAST = 2, 2, 10
WORD = "treasure"
BEGIN = f"setsid sh /bin/counting {WORD} </dev/null >/dev/null 2>&1 & until [ -p /run/tell ]; do sleep 0.05; done"


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Work]]:
    """Daemons that have criu."""
    env, folder = {memory.VARIABLE: memory.criu()}, tmp_path_factory.mktemp("stateful")
    image = images.unified(folder / "image.tar.gz", extra={"rootfs/bin/counting": memory.COUNTING.encode()})
    yield from at_work(image.read_bytes(), [folder / str(number) for number in range(CREW)], env)


def state(name: str) -> str:
    return f"/1.0/instances/{name}/state"


def inside(daemon: Daemon, name: str, command: str) -> str:
    body = {"command": ["sh", "-c", command], "record-output": True, "interactive": False}
    done = daemon.operation("POST", f"/1.0/instances/{name}/exec", body)
    assert done["metadata"]["return"] == 0, done
    return daemon.request("GET", done["metadata"]["output"]["1"]).body.decode()


def asked(daemon: Daemon, name: str) -> int:
    """How often the process in there that knows the word was asked for it, this time included."""
    word, times, _ = inside(daemon, name, "timeout 10 sh -c 'echo >/run/ask; cat /run/tell'").split()
    assert word == WORD
    return int(times)


def stop(work: Work, name: str) -> list[Outcome]:
    return work.do(("PUT", state(name), {"action": "stop", "stateful": True, "timeout": 30}))


def start(work: Work, name: str) -> list[Outcome]:
    return work.do(("PUT", state(name), {"action": "start", "stateful": True, "timeout": 30}))


def snapshot(work: Work, name: str) -> list[Outcome]:
    return work.do(("POST", f"/1.0/instances/{name}/snapshots", {"name": "s1", "stateful": True}))


def restore(work: Work, name: str) -> list[Outcome]:
    return work.do(("PUT", f"/1.0/instances/{name}", {"restore": "s1", "stateful": True}))


def running(work: Work, name: str) -> list[Outcome]:
    """It runs, and was asked once."""
    source = {"type": "image", "fingerprint": work.image}
    body = {"name": name, "source": source, "config": {"migration.stateful": "true"}}
    done = work.do(("POST", "/1.0/instances", body), ("PUT", state(name), {"action": "start", "timeout": 30}))
    inside(work.daemon, name, BEGIN)
    assert asked(work.daemon, name) == 1
    return succeeded(done)


def kept(work: Work, name: str) -> list[Outcome]:
    running(work, name)
    return succeeded(stop(work, name))


def with_snapshot(work: Work, name: str) -> list[Outcome]:
    running(work, name)
    done = succeeded(snapshot(work, name))
    assert asked(work.daemon, name) == 2
    return done


def goes_on(work: Work, name: str, times: int) -> None:
    """It does, or can be brought back and does, once more asked than so often."""
    record = work.daemon.request("GET", f"/1.0/instances/{name}").metadata
    directory = work.daemon.state / f"storage-pools/default/containers/{name}/state"
    assert (record["status"] == "Stopped") == record["stateful"] == directory.exists()
    if record["status"] == "Stopped":
        succeeded(start(work, name))
    assert asked(work.daemon, name) == times + 1
    address = "ip -4 -o addr show eth0 | awk '{print $4}'"
    assert eventually(lambda: inside(work.daemon, name, address).strip(), what="an address")


def end(work: Work, name: str) -> None:
    succeeded(work.do(("PUT", state(name), STOP)))
    work.make_whole(name)


MODES = pytest.mark.parametrize("mode", ["fail", "kill"])


@MODES
def test_a_stateful_stop_leaves_it_running_or_its_memory_whole(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        goes_on(work, name, 1)
        end(work, name)

    strike(crew, mode, stop, running, check, least=LEAST, sample=SAMPLE)


@MODES
def test_a_stateful_start_leaves_it_running_or_its_memory_whole(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        goes_on(work, name, 1)
        end(work, name)

    strike(crew, mode, start, kept, check, least=LEAST, sample=SAMPLE)


@MODES
def test_a_stateful_snapshot_is_whole_or_not_there_and_it_goes_on(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        goes_on(work, name, 1)
        found = work.daemon.request("GET", f"/1.0/instances/{name}/snapshots").metadata
        directory: Path = work.daemon.state / f"storage-pools/default/containers-snapshots/{name}/s1"
        assert directory.is_dir() == bool(found)
        if found:
            succeeded(restore(work, name))
            goes_on(work, name, 1)
            succeeded(work.do(("DELETE", found[0], None)))
        end(work, name)

    strike(crew, mode, snapshot, running, check, least=LEAST, sample=SAMPLE)


@MODES
def test_a_stateful_restore_brings_it_back_or_can_be_done_again(crew: list[Work], mode: str) -> None:
    def check(work: Work, name: str, how: str) -> None:
        succeeded(restore(work, name))
        goes_on(work, name, 1)
        succeeded(work.do(("DELETE", f"/1.0/instances/{name}/snapshots/s1", None)))
        end(work, name)

    strike(crew, mode, restore, with_snapshot, check, least=LEAST, sample=SAMPLE)
