"""Time the same work on Lightervisor and on the real LXD, in turn, on one machine, each with its own client.

Prints medians and their ratio beside the goal; --write puts the table with machine and date into a page. Both daemons
are started here, with state directories and bridges of their own, and removed afterwards. The real LXD comes from the
distribution's package (`scripts/setup --bench`). Keep the machine quiet meanwhile: on two cores any other work doubles
the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import re
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.bench_systems import System, ours, real  # from the checkout this script is in
from tests.harness import images

MIB = 1 << 20


@dataclass(frozen=True)
class Goal:
    """What is to be reached: a ratio to the other system, or a limit of our own."""

    most: float
    is_ratio: bool = True

    def __str__(self) -> str:
        return f"≤ {self.most:g}" + ("" if self.is_ratio else " MiB")

    def reached(self, mine: float, theirs: float | None) -> bool:
        """Whether our figure is good enough."""
        if not self.is_ratio:
            return mine <= self.most
        return theirs is None or mine / theirs <= self.most


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
        reached = ""
        if self.goal and mine is not None and (theirs is not None or not self.goal.is_ratio):
            reached = "yes" if self.goal.reached(mine, theirs) else "**no**"
        return [self.work, *(_figure(median, self.unit) for median in medians), ratio, str(self.goal or ""), reached]


class Bench:
    """The systems, and what was measured on them."""

    def __init__(self, systems: list[System], repeat: int) -> None:
        self.systems, self.repeat = systems, repeat
        self.rows: list[Row] = []
        self.failures: list[str] = []

    def measure(
        self,
        work: str,
        action: Callable[[System, int], float],
        times: int = 1,
        *,
        unit: str = "ms",
        goal: Goal | None = None,
    ) -> None:
        """Do the action on each system in turn, so many times over."""
        row = Row(work, unit, goal)
        self.rows.append(row)
        for round_ in range(times):
            for system in self.systems:
                try:
                    figure = action(system, round_)
                except (RuntimeError, OSError) as failure:
                    self.failures.append(str(failure).strip())
                    continue
                row.figures.setdefault(system.name, []).append(figure)
                print(f"{system.name}: {work}: {figure * 1000 if unit == 'ms' else figure:.2f} {unit}", file=sys.stderr)

    def table(self) -> str:
        """A Markdown table of medians, ratios and goals."""
        names = [system.name for system in self.systems]
        heads = ["work", *names, "ratio", "goal", "reached"]
        lines = [heads, ["---"] * len(heads), *(row.cells(names) for row in self.rows)]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _figure(median: float | None, unit: str) -> str:
    if median is None:
        return "failed"
    return f"{median * 1000:.1f} ms" if unit == "ms" else f"{median:.1f} {unit}"


def small_work(bench: Bench, folder: Path) -> None:
    """What one does with one small container."""
    n = bench.repeat
    small = images.unified(folder / "small.tar.gz")
    bench.measure("import busybox", lambda s, _: s.run("image", "import", small, "--alias", "bench-small"))
    for system in bench.systems:  # the first launch unpacks
        system.run("launch", "bench-small", "bench-warm")
    bench.measure("launch busybox", lambda s, i: s.run("launch", "bench-small", f"bench-{i}"), n, goal=Goal(0.45))
    bench.measure("exec true", lambda s, i: s.run("exec", f"bench-{i % n}", "--", "true"), 2 * n, goal=Goal(0.9))
    blob = folder / "blob"
    blob.write_bytes(os.urandom(64 * MIB))
    bench.measure("push 64 MiB", lambda s, _: s.run("file", "push", blob, "bench-0/root/blob"), 3, goal=Goal(1.0))
    bench.measure(
        "pull 64 MiB", lambda s, _: s.run("file", "pull", "bench-0/root/blob", folder / "back"), 3, goal=Goal(1.0)
    )
    bench.measure("stop --force", lambda s, i: s.run("stop", "--force", f"bench-{i}"), n, goal=Goal(0.2))
    bench.measure("start", lambda s, i: s.run("start", f"bench-{i}"), n, goal=Goal(0.4))
    bench.measure("delete --force", lambda s, i: s.run("delete", "--force", f"bench-{i}"), n, goal=Goal(0.3))
    for system in bench.systems:
        system.run("launch", "bench-small", "bench-second")
    bench.measure("list of 2", lambda s, _: s.run("list"), n, goal=Goal(1.1))
    bench.measure("GET one instance", lambda s, _: s.seconds_per_get("/1.0/instances/bench-warm"), 3, goal=Goal(0.2))


def big_work(bench: Bench, folder: Path, big: str) -> None:
    """A Debian, launched a second time."""
    mine = bench.systems[0]
    mine.run("init", big, "bench-seed")
    seed = str(mine.get("/1.0/images?recursion=1&filter=properties.os%20eq%20debian"))
    found = re.search(r"'fingerprint': '([0-9a-f]{64})'", seed)
    if found is None:
        bench.failures.append(f"{big} left no image with the property os=debian")
        return
    mine.run("image", "export", found[1], folder / "big")
    files = sorted(folder.glob("big*"))
    mine.run("image", "alias", "create", "bench-big", found[1])
    for other in bench.systems[1:]:
        other.run("image", "import", *files, "--alias", "bench-big")
        other.run("init", "bench-big", "bench-seed")
    bench.measure(
        "launch Debian, not the first", lambda s, i: s.run("launch", "bench-big", f"bench-b{i}"), 3, goal=Goal(0.05)
    )
    for system in bench.systems:
        system.run("delete", "--force", "bench-seed", *(f"bench-b{i}" for i in range(3)))


def many_work(bench: Bench, many: int) -> None:
    """Many containers, some of them running."""
    for system in bench.systems:
        for i in range(many - 2):
            system.run("init", "bench-small", f"bench-m{i}")
    bench.measure(f"list of {many}", lambda s, _: s.run("list"), bench.repeat, goal=Goal(0.5))
    running = min(30, many - 2)
    everyone = [f"bench-m{i}" for i in range(running)]
    bench.measure(f"start {running}, one command", lambda s, _: s.run("start", *everyone))
    bench.measure(f"list of {many}, {running + 2} running", lambda s, _: s.run("list"), bench.repeat)
    bench.measure(
        f"memory per container, {running} running",
        lambda s, _: statistics.mean(s.monitor_mib(name) for name in everyone),
        unit="MiB",
        goal=Goal(2.5, is_ratio=False),
    )
    bench.measure(
        "delete all, one command", lambda s, _: s.run("delete", "--force", *(f"bench-m{i}" for i in range(many - 2)))
    )


def machine() -> str:
    """One line about where and when."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / MIB
    named = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        f"{today}: {os.cpu_count()} x {model[1] if model else platform.machine()}, {memory:.0f} GiB, "
        f"{named}, Linux {platform.release()}, Python {platform.python_version()}."
    )


def page(bench: Bench) -> str:
    """docs/benchmarks.md."""
    failed = "".join(f"- {line}\n" for line in bench.failures)
    return (
        "# Benchmarks\n\n<!-- Written by scripts/bench.py (make bench); do not edit. -->\n\n"
        f"{machine()}\n\n"
        "`ours` is this checkout with its own `lxc` on an `overlay` pool; `lxd` is the distribution's LXD with Go's\n"
        "`lxc` on a `dir` pool, its default. Medians, both systems in turn in one run; a ratio below 1 means ours\n"
        "needs less. Memory is PSS: of the daemon and its spawner, and of what watches one container.\n\n"
        f"{bench.table()}" + (f"\nWhat failed:\n\n{failed}" if failed else "")
    )


def main() -> int:
    """Start both, measure, clean up, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="the page to write (default: print the table)")
    parser.add_argument("--repeat", type=int, default=7, help="how often the small work is done")
    parser.add_argument("--many", type=int, default=100, help="how many instances the long lists have")
    parser.add_argument("--big", default="build:debian/12", help='the Debian image; "" leaves it out')
    parser.add_argument("--alone", action="store_true", help="without the real LXD")
    arguments = parser.parse_args()
    systems = [ours()] if arguments.alone else [ours(), real()]
    bench = Bench(systems, arguments.repeat)
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as ends:
        folder = Path(temporary)
        for system in systems:
            ends.callback(system.stop)
            system.start()
        bench.measure(
            "memory of the idle daemon", lambda s, _: s.daemon_mib(), unit="MiB", goal=Goal(80, is_ratio=False)
        )
        small_work(bench, folder)
        if arguments.big:
            big_work(bench, folder, arguments.big)
        many_work(bench, arguments.many)
    if arguments.write:
        arguments.write.write_text(page(bench))
    print(bench.table())
    for line in bench.failures:
        print(f"failed: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
