"""What is measured, and the table of it: medians, ratios, goals."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.bench_systems import System  # from the checkout this script is in


@dataclass(frozen=True)
class Goal:
    """What is to be reached: a bound for the ratio to the other system, or for our own figure."""

    bound: float
    unit: str = "times"
    is_floor: bool = False

    def __str__(self) -> str:
        text = f"{'≥' if self.is_floor else '≤'} {self.bound:g}"
        return text if self.unit == "times" else f"{text} {self.unit}"

    def reached(self, mine: float, theirs: float | None) -> str:
        """Whether our figure is good enough; empty when there is nothing to compare it with."""
        if self.unit != "times":
            value = mine
        elif theirs:
            value = mine / theirs
        else:
            return ""
        return "yes" if (value >= self.bound if self.is_floor else value <= self.bound) else "**no**"


@dataclass
class Row:
    """One kind of work: what it is, the unit, the goal, and each system's figures."""

    work: str
    unit: str
    goal: Goal | None
    figures: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def cells(self, names: list[str]) -> list[str]:
        """The row's cells: the medians, the ratio of the first two, the goal, whether it is reached."""
        medians = [statistics.median(self.figures[name]) if self.figures.get(name) else None for name in names]
        mine, theirs = medians[0], medians[1] if len(medians) > 1 else None
        ratio = f"{mine / theirs:.2f}" if mine is not None and theirs else ""
        reached = self.goal.reached(mine, theirs) if self.goal and mine is not None else ""
        shown = [
            _figure(median, self.unit) if name in self.figures else ""
            for name, median in zip(names, medians, strict=True)
        ]
        return [self.work, *shown, ratio, str(self.goal or ""), reached]


class Bench:
    """The systems, and what was measured on them."""

    def __init__(self, systems: list[System], rounds: int) -> None:
        self.systems, self.rounds = systems, rounds
        self.rows: list[Row] = []
        self.failures: list[str] = []

    def attempt(self, work: Callable[[], None]) -> None:
        """Do a part of the work; when a preparation of it fails, the other parts are still done."""
        try:
            work()
        except (RuntimeError, OSError, subprocess.SubprocessError) as failure:
            self.failures.append(str(failure).strip())

    def measure(
        self,
        work: str,
        action: Callable[[System, int], float],
        times: int = 1,
        *,
        unit: str = "ms",
        goal: Goal | None = None,
        systems: list[System] | None = None,
    ) -> None:
        """Do the action on each system in turn (or on those that are named), so many times over.

        Nothing waits to be written to the disk when it begins: one that syncs would pay for what the other wrote.
        """
        row = Row(work, unit, goal, {system.name: [] for system in systems or self.systems})
        self.rows.append(row)
        for round_ in range(times):
            for system in systems or self.systems:
                os.sync()
                try:
                    figure = action(system, round_)
                except (RuntimeError, OSError) as failure:
                    self.failures.append(str(failure).strip())
                    continue
                row.figures[system.name].append(figure)
                print(f"{system.name}: {work}: {_figure(figure, unit)}", file=sys.stderr)

    def table(self) -> str:
        """A Markdown table of medians, ratios and goals."""
        names = [system.name for system in self.systems]
        heads = ["work", *names, "ratio", "goal", "reached"]
        lines = [heads, ["---"] * len(heads), *(row.cells(names) for row in self.rows)]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _digits(median: float) -> int:
    return 2 if median < 10 else 1 if median < 100 else 0


def _figure(median: float | None, unit: str) -> str:
    if median is None:
        return "failed"
    return f"{median * 1000:.1f} ms" if unit == "ms" else f"{median:,.{_digits(median)}f} {unit}"
