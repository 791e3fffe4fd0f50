"""Every effect of launch and delete, one after the other: what if it fails, is the daemon's last, or is cancelled?

The effects are not listed anywhere: they are recorded first (see tests/harness/faulty_daemon.py), and one that turns up
on the way is tried too.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.faults.work import Outcome, Work

Part = Callable[[Work, str], list[Outcome]]
Check = Callable[[Work, str, list[Outcome]], None]
LEAST = 15  # effects of either part: fewer would mean that they are not seen
MOST = 8  # problems that are told at once


class Strikes:
    """All effects of a part are struck, shared among the crew; what is wrong is told at once."""

    def __init__(self, mode: str, part: Part, check: Check, prepare: Part | None = None) -> None:
        self._mode, self._part, self._check, self._prepare = mode, part, check, prepare
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._known: set[str] = set()
        self._problems: list[str] = []

    def strike(self, crew: list[Work], effects: list[str], *, least: int = LEAST) -> None:
        """Strike these effects and those that turn up on the way."""
        assert len(effects) > least, effects
        self._add(effects)
        with ThreadPoolExecutor() as threads:
            list(threads.map(self._take_turns, crew))
        assert not self._problems, "\n\n".join([f"{len(self._problems)} of {len(self._known)}:", *self._problems])

    def _add(self, effects: list[str]) -> None:
        for label in effects:
            if label not in self._known:
                self._known.add(label)
                self._waiting.put(label)

    def _take_turns(self, work: Work) -> None:
        with suppress(queue.Empty):
            while len(self._problems) < MOST:
                self._one(work, self._waiting.get_nowait())

    def _one(self, work: Work, label: str) -> None:
        try:
            if not self._struck(work, label):
                work.daemon.restart()  # some things a daemon does once
                assert self._struck(work, label), "it did not come to pass again"
        except AssertionError as error:
            self._problems.append(f"{self._mode} at {label}: {str(error)[:500]}")

    def _struck(self, work: Work, label: str) -> bool:
        name = work.new_name()
        if self._prepare is not None:
            self._prepare(work, name)
        work.rest()
        work.faults.arm(self._mode, name, label)
        try:
            done = self._part(work, name)
        finally:
            met = work.faults.disarm()
        if label not in met:
            is_whole_or_gone(work, name, [])
            return False
        self._check(work, name, done)
        self._add(met)
        return True


def told(done: list[Outcome]) -> bool:
    """Whether the last operation failed, which it must say in words for a person."""
    last = done[-1]
    if last["status"] == "Success":
        return False
    assert last["status"] == "Failure", last
    assert "njected" in last["err"], last["err"]
    assert "Error(" not in last["err"], last["err"]
    return True


def is_whole_or_gone(work: Work, name: str, _done: list[Outcome]) -> None:
    """What a killed daemon may leave."""
    if work.status(name) != "gone":
        work.make_whole(name)


def test_a_launch_that_fails_leaves_nothing(crew: list[Work]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        created = len(done) == 2
        wanted = ("Stopped" if created else "gone") if told(done) else "Running"
        assert work.status(name) == wanted
        if wanted != "gone":
            work.make_whole(name)

    Strikes("fail", Work.launch, check).strike(crew, crew[0].effects_of_launch())


def test_a_launch_that_is_cancelled_leaves_nothing(crew: list[Work]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        if done[-1]["status"] == "Cancelled":
            assert len(done) == 1
            assert work.status(name) == "gone"
        else:  # too late: the instance is made, or is being started, which has no cancelling
            assert done[-1]["status"] == "Success", done[-1]
            assert work.status(name) == "Running"
            work.make_whole(name)

    Strikes("cancel", Work.launch, check).strike(crew, crew[0].effects_of_launch())


def test_a_delete_that_fails_leaves_it_whole_or_gone(crew: list[Work]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        failed_to_stop = told(done) and len(done) == 1
        if work.status(name, left=failed_to_stop) != "gone":
            work.make_whole(name, left=failed_to_stop)

    Strikes("fail", Work.delete, check, Work.launch).strike(crew, crew[0].effects_of_delete())


def test_a_daemon_killed_in_a_launch_leaves_it_whole_or_gone(crew: list[Work]) -> None:
    Strikes("kill", Work.launch_and_die, is_whole_or_gone).strike(crew, crew[0].effects_of_launch())


def test_a_daemon_killed_in_a_delete_leaves_it_whole_or_gone(crew: list[Work]) -> None:
    strikes = Strikes("kill", Work.delete_and_die, is_whole_or_gone, Work.launch)
    strikes.strike(crew, crew[0].effects_of_delete())


class SecondStrikes(Strikes):
    """The daemon has died at one effect of a part, and is killed again at each effect of what it then does about it."""

    def __init__(self, part: Part, death: str, prepare: Part | None) -> None:
        super().__init__("kill", part, is_whole_or_gone, prepare)
        self._death = death

    def recovery(self, work: Work, label: str = "") -> tuple[str, list[str]]:
        """Let a daemon die and start again, to die at this effect: the instance's name and the effects on the way."""
        name = work.new_name()
        if self._prepare is not None:
            self._prepare(work, name)
        work.rest()
        work.die(self._part, name, self._death)
        work.faults.arm("kill", name, label)
        work.start_to_die(name)
        met = work.faults.disarm()
        if label in met and work.daemon.process is not None:  # only just
            work.daemon.bury()
        return name, [one for one in met if is_of_recovery(one)]

    def _struck(self, work: Work, label: str) -> bool:
        name, met = self.recovery(work, label)
        if work.daemon.process is None:
            work.revive(name)
        is_whole_or_gone(work, name, [])
        self._add(met)
        return label in met


def is_of_recovery(label: str) -> bool:
    """Whether an effect of a daemon's start is about an instance, or a mount; others are the same with each start."""
    return "NAME" in label or label.startswith(("transaction Journal", "transaction InstanceRows", "signal", "umount2"))


DEATHS: dict[str, tuple[Part, str, Part | None]] = {
    "at the end of a creation": (Work.launch, "transaction Journal.settle.<locals>.<lambda> #1", None),
    "in a start": (Work.launch, "transaction InstanceRows.merge_config.<locals>.change #1", None),
    "in a stop": (Work.delete, "umount2 #1", Work.launch),
    "in a deletion": (Work.delete, "transaction InstanceRows.delete.<locals>.<lambda> #1", Work.launch),
}


@pytest.mark.parametrize("moment", DEATHS)
def test_a_daemon_killed_again_in_its_recovery_leaves_it_whole_or_gone(crew: list[Work], moment: str) -> None:
    strikes = SecondStrikes(*DEATHS[moment])
    name, effects = strikes.recovery(crew[0])
    is_whole_or_gone(crew[0], name, [])
    strikes.strike(crew, effects, least=4)
