"""Every effect of launch and delete, one after the other: what if it fails, is the daemon's last, or is cancelled?

The effects are not listed anywhere: they are recorded first (see tests/harness/faulty_daemon.py), and a test fails when
a later run has one that was not tried.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.work import Outcome, Work

Part = Callable[[str], list[Outcome]]
Check = Callable[[str, list[Outcome]], None]

MOST = 8  # problems that are told at once
LEAST = 15  # effects of either part: fewer would mean that they are not seen


class Tried:
    """Goes through the effects of a part, also those that turn up on the way, and tells all that is wrong at once."""

    def __init__(self, work: Work, mode: str, part: Part) -> None:
        self._work, self._mode, self._part = work, mode, part

    def each(self, effects: list[str], check: Check, *, prepare: Part | None = None) -> None:
        """For each effect: prepare, do the part while the effect is struck, check."""
        assert len(effects) > LEAST, effects
        waiting, known, problems = list(effects), set(effects), list[str]()
        for number, label in enumerate(waiting):  # which grows meanwhile
            name = f"{self._work.prefix}{number}"
            if prepare is not None:
                prepare(name)
            self._work.rest()
            self._work.faults.arm(self._mode, name, label)
            try:
                done = self._part(name)
            finally:
                met = self._work.faults.disarm()
            try:
                assert label in met, "it did not come to pass this time"
                check(name, done)
            except AssertionError as error:
                problems.append(f"{self._mode} at {label}: {str(error)[:500]}")
                if len(problems) == MOST:
                    break
            new = [one for one in met if one not in known]
            waiting += new
            known.update(new)
        assert not problems, "\n\n".join([f"{len(problems)} of {len(waiting)}:", *problems])


def told(done: list[Outcome]) -> bool:
    """Whether the last operation failed, which it must say in words for a person."""
    last = done[-1]
    if last["status"] == "Success":
        return False
    assert last["status"] == "Failure", last
    assert "njected" in last["err"], last["err"]
    assert "Error(" not in last["err"], last["err"]
    return True


def test_a_launch_that_fails_leaves_nothing(work: Work) -> None:
    def check(name: str, done: list[Outcome]) -> None:
        created = len(done) == 2
        wanted = ("Stopped" if created else "gone") if told(done) else "Running"
        assert work.status(name) == wanted
        if wanted != "gone":
            work.make_whole(name)

    Tried(work, "fail", work.launch).each(work.effects_of_launch(), check)


def test_a_launch_that_is_cancelled_leaves_nothing(work: Work) -> None:
    def check(name: str, done: list[Outcome]) -> None:
        if done[-1]["status"] == "Cancelled":
            assert len(done) == 1
            assert work.status(name) == "gone"
        else:  # too late: the instance is made, or is being started, which has no cancelling
            assert done[-1]["status"] == "Success", done[-1]
            assert work.status(name) == "Running"
            work.make_whole(name)

    Tried(work, "cancel", work.launch).each(work.effects_of_launch(), check)


def test_a_delete_that_fails_leaves_it_whole_or_gone(work: Work) -> None:
    def check(name: str, done: list[Outcome]) -> None:
        failed_to_stop = told(done) and len(done) == 1
        if work.status(name, left=failed_to_stop) != "gone":
            work.make_whole(name, left=failed_to_stop)

    Tried(work, "fail", work.delete).each(work.effects_of_delete(), check, prepare=work.launch)


def test_a_daemon_killed_in_a_launch_leaves_it_whole_or_gone(work: Work) -> None:
    def check(name: str, _done: list[Outcome]) -> None:
        if work.status(name) != "gone":
            work.make_whole(name)

    Tried(work, "kill", work.until_it_dies(work.launch)).each(work.effects_of_launch(), check)


def test_a_daemon_killed_in_a_delete_leaves_it_whole_or_gone(work: Work) -> None:
    def check(name: str, _done: list[Outcome]) -> None:
        if work.status(name) != "gone":
            work.make_whole(name)

    Tried(work, "kill", work.until_it_dies(work.delete)).each(work.effects_of_delete(), check, prepare=work.launch)
