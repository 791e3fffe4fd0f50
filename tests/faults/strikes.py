"""Striking every effect of a piece of work: each fails, is the daemon's last, or is cancelled.

The effects are not listed anywhere: they are recorded first (see tests/harness/faulty_daemon.py), and one that turns up
on the way is tried too. `make test` strikes a sample of most parts, `make test-faults` all; with FAULTS=count they are
only counted.
"""

from __future__ import annotations

import http.client
import os
import queue
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.faults.work import Outcome, Work

Part = Callable[[Work, str], list[Outcome]]
Check = Callable[[Work, str, list[Outcome]], None]
LEAST = 15  # effects of either part: fewer would mean that they are not seen
MOST = 8  # problems that are told at once
ATTEMPTS = 4  # to have an effect come to pass again
SAMPLE = 4  # effects of each part that are struck when not all are wanted (`make test-faults` wants all)
ALL, COUNTS = (os.environ.get("FAULTS") == word for word in ("all", "count"))
struck = [0]  # how many effects were struck in this process, or counted; conftest.py tells the sum


class Strikes:
    """All effects of a part are struck, shared among the crew; what is wrong is told at once."""

    def __init__(self, mode: str, part: Part, check: Check, prepare: Part | None = None) -> None:
        self._mode, self._part, self._check, self._prepare = mode, part, check, prepare
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._known: set[str] = set()
        self._chance: set[str] = set()
        self._problems: list[str] = []
        self._missed: list[str] = []
        self._every = ALL

    def strike(
        self, crew: list[Work], effects: list[str], *, least: int = LEAST, every: bool = ALL, sample: int = SAMPLE
    ) -> None:
        """Strike every of these effects and of those that turn up on the way, or the same sample each time."""
        assert len(effects) > least, effects
        if COUNTS:
            struck[0] += len(set(effects))
            return
        self._add(effects if every else some(effects, sample))
        self._every = every
        with ThreadPoolExecutor() as threads:
            list(threads.map(self._take_turns, crew))
        # Of a sample one may be of a kind that has another number each time; `make test-faults` lets none pass.
        assert len(self._missed) <= (0 if self._every else 1), f"they did not come to pass again: {self._missed}"
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
            if not any(self._again(work, label, attempt) for attempt in range(ATTEMPTS)) and label not in self._chance:
                self._missed.append(label)
        except (AssertionError, OSError, http.client.HTTPException) as error:
            self._problems.append(f"{self._mode} at {label}: {type(error).__name__} {str(error)[:500]}")
            if work.has_ended():  # the next one begins with a daemon again
                work.faults.disarm()
                work.daemon.bury() if work.daemon.process is not None else None
                work.daemon.start()

    def _again(self, work: Work, label: str, attempt: int) -> bool:
        if attempt > 0:
            work.daemon.restart()  # some things a daemon does once, and what it does behind has not always its number
        return self._struck(work, label)

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
            self._check(work, name, done)  # nothing was struck, and all is as it is to be
            return False
        struck[0] += 1
        self._check(work, name, done)
        if self._every:
            self._chance.update(set(met) - self._known)  # it may come to pass by chance alone
            self._add(met)
        return True


def strike(
    crew: list[Work],
    mode: str,
    part: Part,
    prepare: Part,
    check: Callable[[Work, str, str], None],
    *,
    least: int = LEAST,
    sample: int = SAMPLE,
    heard: Callable[[str, list[Outcome]], str] | None = None,
) -> None:
    """Strike every effect of a part, each time prepared anew; `check` is told how the part ended for its client.

    That is "Success", "Failure" or "Cancelled", and "" when the daemon died of it.
    """

    def look(work: Work, name: str, done: list[Outcome]) -> None:
        check(work, name, (heard or how_ended)(mode, done))

    name = crew[0].new_name()
    prepare(crew[0], name)
    crew[0].rest()
    effects = crew[0].faults.of(name, lambda: succeeded(part(crew[0], name)))
    check(crew[0], name, "Success")
    struck = dying(part) if mode == "kill" else part
    Strikes(mode, struck, look, prepare).strike(crew, effects, least=least, sample=sample)


def some(effects: list[str], sample: int = SAMPLE) -> list[str]:
    """So many of them, the same ones each time."""
    return random.Random(len(effects)).sample(effects, min(sample, len(effects)))


def dying(part: Part) -> Part:
    """The same on a daemon that dies meanwhile."""
    return lambda work, name: work.die_during(lambda name: part(work, name), name)


def succeeded(done: list[Outcome]) -> list[Outcome]:
    """What was done, all of which must have succeeded."""
    assert [(one["status"], one["err"]) for one in done if one["status"] != "Success"] == []
    return done


def how_ended(mode: str, done: list[Outcome]) -> str:
    """The status of the last operation, which may be no other than its mode can bring about; "" without any."""
    if not done:
        return ""
    if mode == "cancel":
        assert done[-1]["status"] in ("Cancelled", "Success"), done
    else:
        told(done)
    return done[-1]["status"]


def is_whole_or_gone(work: Work, name: str, _done: list[Outcome]) -> None:
    """What a killed daemon may leave."""
    if work.status(name) != "gone":
        work.make_whole(name)


def told(done: list[Outcome]) -> bool:
    """Whether the last operation failed, which it must say in words for a person."""
    last = done[-1]
    if last["status"] == "Success":
        return False
    assert last["status"] == "Failure", last
    assert "njected" in last["err"], last["err"]
    assert "Error(" not in last["err"], last["err"]
    return True
