"""Every effect of launch and delete, one after the other: what if it fails, is the daemon's last, or is cancelled?"""

from __future__ import annotations

import pytest

from tests.faults.strikes import Part, Strikes, is_whole_or_gone, told
from tests.faults.work import Outcome, Work


def test_a_launch_that_fails_leaves_nothing(crew: list[Work]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        created = len(done) == 2
        wanted = ("Stopped" if created else "gone") if told(done) else "Running"
        assert work.status(name) == wanted
        if wanted != "gone":
            work.make_whole(name)

    Strikes("fail", Work.launch, check).strike(crew, crew[0].effects_of_launch(), every=True)


def test_a_launch_that_is_cancelled_leaves_nothing(crew: list[Work]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        if done[-1]["status"] == "Cancelled":
            assert len(done) == 1
            assert work.status(name) == "gone"
        else:  # too late: the instance is made, or is being started, which has no cancelling
            assert done[-1]["status"] == "Success", done[-1]
            assert work.status(name) == "Running"
            work.make_whole(name)

    Strikes("cancel", Work.launch, check).strike(crew, crew[0].effects_of_launch(), every=True)


def test_a_delete_that_fails_leaves_it_whole_or_gone(crew: list[Work]) -> None:
    def check(work: Work, name: str, done: list[Outcome]) -> None:
        failed_to_stop = told(done) and len(done) == 1
        if work.status(name, left=failed_to_stop) != "gone":
            work.make_whole(name, left=failed_to_stop)

    Strikes("fail", Work.delete, check, Work.launch).strike(crew, crew[0].effects_of_delete(), every=True)


def test_a_daemon_killed_in_a_launch_leaves_it_whole_or_gone(crew: list[Work]) -> None:
    Strikes("kill", Work.launch_and_die, is_whole_or_gone).strike(crew, crew[0].effects_of_launch(), every=True)


def test_a_daemon_killed_in_a_delete_leaves_it_whole_or_gone(crew: list[Work]) -> None:
    strikes = Strikes("kill", Work.delete_and_die, is_whole_or_gone, Work.launch)
    strikes.strike(crew, crew[0].effects_of_delete(), every=True)


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
