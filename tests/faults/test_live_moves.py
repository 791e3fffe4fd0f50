"""Every effect of a live move between two servers: what if it fails, or is a daemon's last?

Afterwards the processes run at one place and have forgotten nothing; where nobody can know whether they run at the
other one they stand still, and go on when somebody starts them. While the daemon that died is away they do not run at
both places either. `sent` is what the server does that has the instance, `received` what the other one does.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import at_work
from tests.faults.ends import Ends, called
from tests.faults.strikes import ALL, Strikes, succeeded
from tests.faults.test_snapshots import check_pool
from tests.faults.test_stateful import BEGIN, asked, inside, state
from tests.faults.work import START, STOP, Outcome, Work
from tests.harness import images, memory
from tests.harness.daemon import Daemon

CREW, SAMPLE, LEAST = 2, 3, 20
FREEZERS = {
    Path("/sys/fs/cgroup/freezer"): ("freezer.state", "FROZEN"),
    Path("/sys/fs/cgroup"): ("cgroup.freeze", "1"),
}


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Work]]:
    """Daemons that have criu."""
    env, folder = {memory.VARIABLE: memory.criu()}, tmp_path_factory.mktemp("live-moves")
    image = images.unified(folder / "image.tar.gz", extra={"rootfs/bin/counting": memory.COUNTING.encode()})
    yield from at_work(image.read_bytes(), [folder / str(number) for number in range(CREW)], env)


@pytest.fixture(scope="module")
def ends(crew: list[Work], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    """Both servers; the other one goes before the crew looks for what is left."""
    ends = Ends(crew, tmp_path_factory.mktemp("ends"), {memory.VARIABLE: memory.criu()})
    try:
        ends.open()
        yield ends
    finally:
        ends.close()


class Side:
    """One of both servers, and what the instance is called there."""

    def __init__(self, daemon: Daemon, name: str, remote: str) -> None:
        self.daemon, self.name, self.place = daemon, name, f"{remote}:{name}"

    def says(self) -> str:
        """The status of the instance, "" when there is none."""
        answer = self.daemon.request("GET", f"/1.0/instances/{self.name}")
        return "" if answer.status == 404 else answer.metadata["status"]

    def must(self, method: str, path: str, body: object = None) -> None:
        """Do something about it."""
        done = self.daemon.operation(method, path, body)
        assert done["status"] == "Success", done["err"]

    def delete(self) -> None:
        """Stop and delete it, if it is there."""
        status = self.says()
        if status not in ("", "Stopped"):
            self.must("PUT", state(self.name), STOP)
        if status:
            self.must("DELETE", f"/1.0/instances/{self.name}")

    def may_move(self) -> bool:
        """Whether it has processes that are not frozen, whatever its daemon knows."""
        for root, (file, frozen) in FREEZERS.items():
            group = root / f"lxc.payload.{self.name}"
            if (group / file).exists():
                return bool((group / "cgroup.procs").read_text()) and (group / file).read_text().strip() != frozen
        return False


def sides(ends: Ends, side: str, work: Work, name: str) -> tuple[Side, Side]:
    """Its source and its target."""
    near, far = Side(work.daemon, name, "near"), Side(ends.far, called(name), "far")
    return (near, far) if side == "sent" else (far, near)


@pytest.mark.parametrize("side", ["sent", "received"])
@pytest.mark.parametrize("mode", ["fail", "kill"])
def test_processes_that_are_moved_run_at_one_place(crew: list[Work], ends: Ends, mode: str, side: str) -> None:
    def prepare(work: Work, name: str) -> list[Outcome]:
        source, _ = sides(ends, side, work, name)
        image = work.image if side == "sent" else ends.image
        made = {"type": "image", "fingerprint": image}
        body = {"name": source.name, "source": made, "config": {"migration.stateful": "true"}}
        source.must("POST", "/1.0/instances", body)
        source.must("PUT", state(source.name), START)
        inside(source.daemon, source.name, BEGIN)
        assert asked(source.daemon, source.name) == 1
        return []

    def move(work: Work, name: str) -> list[Outcome]:
        source, target = sides(ends, side, work, name)
        return ends.lxc(work, "move", source.place, target.place)

    def dying(work: Work, name: str) -> list[Outcome]:
        with contextlib.suppress(OSError, http.client.HTTPException):
            move(work, name)
        work.daemon.bury()
        moving = [one.place for one in sides(ends, side, work, name) if one.may_move()]
        assert len(moving) < 2, f"while its daemon is away it runs at both: {moving}"
        work.faults.disarm()
        work.revive(name)
        return []

    def look(work: Work, name: str, done: list[Outcome]) -> None:
        source, target = sides(ends, side, work, name)
        ends.settled(ends.far)
        runs_at_one(source, target, done)
        for one in (source, target):
            one.delete()
        assert work.status(name) == "gone"
        check_pool(work)

    name = crew[0].new_name()
    prepare(crew[0], name)
    crew[0].rest()
    effects = crew[0].faults.of(name, lambda: succeeded(move(crew[0], name)))
    look(crew[0], name, [{"status": "Success"}])
    struck = dying if mode == "kill" else move
    Strikes(mode, struck, look, prepare).strike(crew, effects, least=LEAST, sample=SAMPLE)
    # What is noted of who may go on is always struck: between two of these notes it is decided.
    notes = [effect for effect in effects if "merge_config" in effect]
    if notes and not ALL:
        Strikes(mode, struck, look, prepare).strike(crew, notes, least=0, sample=len(notes))


def runs_at_one(source: Side, target: Side, done: list[Outcome]) -> None:
    """The processes go on at one place, when somebody starts them at last."""
    found = source.says(), target.says()
    if done and done[-1]["status"] == "Success":
        assert found == ("", "Running")
    elif done:
        assert done[-1]["err"].startswith("Error: ") and "Running" in found, (done, found)
    if found[1] == "Running":
        assert found[0] in ("", "Frozen", "Stopped"), found
        assert asked(target.daemon, target.name) == 2
        return
    # A target that fails or is killed after it has committed keeps it, stopped: only a second move would notice.
    assert found[1] in ("", "Stopped"), found
    if found[0] != "Running":
        source.must("PUT", state(source.name), {**START, "stateful": found[0] == "Stopped"})
    assert asked(source.daemon, source.name) == 2
