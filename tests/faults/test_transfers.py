"""Every effect of copies, refreshes and moves between two servers, started by our client: what if it fails, or is a
daemon's last?

Afterwards the source is whole unless the target is, the target is whole or gone, no instance runs at both places, and
the same request succeeds. `sent` is what the server does that has the instance, `received` what the other one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults.ends import Ends, called, read, write
from tests.faults.strikes import ALL, COUNTS, Part, strike, succeeded
from tests.faults.test_snapshots import check_pool
from tests.faults.work import STOP, Outcome, Work

LEAST, SAMPLE = 5, 2
MODES = pytest.mark.parametrize("mode", ["fail", "kill"])
SIDES = pytest.mark.parametrize("side", ["sent", "received"])
Check = Callable[[Work, str, bool], None]


@pytest.fixture(scope="module")
def ends(crew: list[Work], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    """Both servers; the other one goes before the crew looks for what is left."""
    ends = Ends(crew, tmp_path_factory.mktemp("ends"))
    try:
        ends.open()
        yield ends
    finally:
        ends.close()


def strike_both(crew: list[Work], mode: str, part: Part, prepare: Part, check: Check) -> None:
    """Strike every effect of a part; `check` is told whether the client said that it succeeded."""

    def heard(_mode: str, done: list[Outcome]) -> str:
        """What is killed answers nobody, but the client of it may have its own say."""
        said = bool(done) and done[-1]["status"] == "Success"
        assert not done or said or done[-1]["err"].startswith("Error: "), done
        return "Success" if said else ""

    def look(work: Work, name: str, how: str) -> None:
        check(work, name, how == "Success")
        check_pool(work)

    strike(crew, mode, part, prepare, look, least=LEAST, sample=SAMPLE, heard=heard)


def end_near(work: Work, name: str, text: str) -> None:
    """Check that an instance on the near side is whole, by its note and a run, and take it away."""
    assert read(work.daemon, name) == text
    if work.says(name) == "Frozen":
        succeeded(work.do(("PUT", f"/1.0/instances/{name}/state", {"action": "unfreeze"})))
    work.make_whole(name)


def made(ends: Ends, side: str, *, running: bool = False, text: str = "mine") -> Part:
    """An instance where it is sent from."""

    def prepare(work: Work, name: str) -> list[Outcome]:
        if side == "sent":
            ends.make(work.daemon, work.image, name, text, running=running)
        else:
            ends.make(ends.far, ends.image, called(name), text, running=running)
        return []

    return prepare


def places(side: str, name: str) -> tuple[str, str]:
    """The instance as the client names it, at its source and at its target."""
    near, far = f"near:{name}", f"far:{called(name)}"
    return (near, far) if side == "sent" else (far, near)


def take_away(ends: Ends, work: Work, name: str, text: str) -> None:
    """The instance is whole where it is; it is taken away from both sides."""
    if work.says(name):
        end_near(work, name, text)
    else:
        assert work.status(name) == "gone"
    if ends.says(name):
        ends.end(name, text)


@MODES
@SIDES
@pytest.mark.parametrize("way", ["push", "relay"] if ALL or COUNTS else ["push"])
def test_a_copy_to_another_server_is_whole_or_absent(
    crew: list[Work], ends: Ends, mode: str, side: str, way: str
) -> None:
    def copy(work: Work, name: str) -> list[Outcome]:
        return ends.lxc(work, "copy", *places(side, name), "--mode", way)

    def check(work: Work, name: str, said: bool) -> None:
        has_copy = ends.says(name) if side == "sent" else work.says(name)
        assert (work.says(name) if side == "sent" else ends.says(name)) == "Stopped"
        assert has_copy or not said
        if not has_copy:
            succeeded(copy(work, name))
        take_away(ends, work, name, "mine")

    strike_both(crew, mode, copy, made(ends, side), check)


@MODES
@SIDES
@pytest.mark.parametrize("way", ["pull", "push"] if ALL or COUNTS else ["pull"])
def test_a_copy_on_another_server_is_refreshed_or_what_it_was(
    crew: list[Work], ends: Ends, mode: str, side: str, way: str
) -> None:
    def refresh(work: Work, name: str) -> list[Outcome]:
        return ends.lxc(work, "copy", *places(side, name), "--refresh", "--mode", way)

    def prepare(work: Work, name: str) -> list[Outcome]:
        made(ends, side, text="old")(work, name)
        succeeded(ends.lxc(work, "copy", *places(side, name)))
        write(*((work.daemon, name) if side == "sent" else (ends.far, called(name))), "new")
        return []

    def check(work: Work, name: str, said: bool) -> None:
        near, far = read(work.daemon, name), ends.note(name)
        source, copy = (near, far) if side == "sent" else (far, near)
        assert source == "new"
        assert copy in (("new",) if said else ("new", "old"))
        succeeded(refresh(work, name))
        take_away(ends, work, name, "new")

    strike_both(crew, mode, refresh, prepare, check)


def states(ends: Ends, side: str, work: Work, name: str) -> tuple[str, str]:
    """The status of the instance at its source, and at its target."""
    near, far = work.says(name), ends.says(name)
    return (near, far) if side == "sent" else (far, near)


def take_away_target(ends: Ends, side: str, work: Work, name: str) -> None:
    """What has arrived is whole, and in the way of another try."""
    if side == "sent":
        ends.end(name, "mine")
    else:
        end_near(work, name, "mine")


@MODES
@SIDES
def test_a_move_to_another_server_loses_nothing(crew: list[Work], ends: Ends, mode: str, side: str) -> None:
    def move(work: Work, name: str) -> list[Outcome]:
        return ends.lxc(work, "move", *places(side, name))

    def check(work: Work, name: str, said: bool) -> None:
        source, target = states(ends, side, work, name)
        assert (source, target) == ("", "Stopped") if said else source or target
        if source and target:
            take_away_target(ends, side, work, name)
        if source:
            succeeded(move(work, name))
        take_away(ends, work, name, "mine")

    strike_both(crew, mode, move, made(ends, side), check)


def change_source(ends: Ends, side: str, work: Work, name: str, *requests: tuple[str, str, object]) -> None:
    """Ask the source's server for something about the instance, by the ends of the paths; it must do it."""
    daemon, named = (work.daemon, name) if side == "sent" else (ends.far, called(name))
    for method, end, body in requests:
        assert daemon.operation(method, f"/1.0/instances/{named}{end}", body)["status"] == "Success"


@MODES
@SIDES
def test_a_running_instance_that_is_moved_runs_at_one_place(crew: list[Work], ends: Ends, mode: str, side: str) -> None:
    heard: dict[str, str] = {}

    def move(work: Work, name: str) -> list[Outcome]:
        done = ends.lxc(work, "move", *places(side, name), "--stateless")
        heard[name] = done[-1]["err"]
        return done

    def check(work: Work, name: str, said: bool) -> None:
        source, target = states(ends, side, work, name)
        assert not said or (source, target) == ("", "Running")
        if target == "Running":
            assert source in ("", "Frozen", "Stopped")
            if source not in ("", "Stopped"):
                change_source(ends, side, work, name, ("PUT", "/state", STOP))
            if source:
                change_source(ends, side, work, name, ("DELETE", "", None))
        else:
            again(work, name, source, target)
        take_away(ends, work, name, "mine")

    def again(work: Work, name: str, source: str, target: str) -> None:
        """It goes on where it was, unless nobody could ask the other server; and can be moved."""
        assert source == "Running" or (source, "does not say whether" in heard[name]) == ("Frozen", True), heard[name]
        if target:
            take_away_target(ends, side, work, name)
        if source == "Frozen":
            change_source(ends, side, work, name, ("PUT", "/state", {"action": "unfreeze"}))
        succeeded(move(work, name))

    strike_both(crew, mode, move, made(ends, side, running=True), check)
