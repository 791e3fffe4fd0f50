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
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lightervisor.runtime.apparmor import PARSER
from scripts.bench_images import ALIAS, Packed  # from the checkout this script is in
from scripts.bench_life import BtrfsPools, btrfs_work, life_work, server_to_server_work
from scripts.bench_live import PORTS, Live
from scripts.bench_servers import PublicImage, growth_mib, large_image, many_products
from scripts.bench_systems import MAKERS, REAL
from scripts.bench_table import Bench, Goal
from tests.harness import images

MIB = 1 << 20


def small_work(bench: Bench, folder: Path) -> None:
    """What one does with one small container."""
    n = bench.rounds
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
    tree = many_files(folder / "tree", 500)
    bench.measure(
        "push -r of 500 files",
        lambda s, i: s.run("file", "push", "-r", "-p", tree, f"bench-0/root/tree-{i}"),
        3,
        goal=Goal(0.1),
    )
    bench.measure(
        "pull -r of 500 files",
        lambda s, i: s.run("file", "pull", "-r", "bench-0/root/tree-0", folder / s.name / str(i)),
        3,
    )
    bench.measure("stop --force", lambda s, i: s.run("stop", "--force", f"bench-{i}"), n, goal=Goal(0.2))
    bench.measure("start", lambda s, i: s.run("start", f"bench-{i}"), n, goal=Goal(0.4))
    bench.measure("delete --force", lambda s, i: s.run("delete", "--force", f"bench-{i}"), n, goal=Goal(0.3))
    for system in bench.systems:
        system.run("launch", "bench-small", "bench-second")
    bench.measure("list of 2", lambda s, _: s.run("list"), n, goal=Goal(1.1))
    bench.measure(
        "GET of one instance, each second",
        lambda s, _: s.gets_per_second("/1.0/instances/bench-warm"),
        n,
        unit="requests",
        goal=Goal(5, is_floor=True),
    )


def many_files(tree: Path, count: int) -> Path:
    """A tree of small files in ten folders."""
    for number in range(count):
        folder = tree / str(number % 10)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{number}").write_bytes(os.urandom(1 + number * 16 % 8192))
    return tree


def big_work(bench: Bench, folder: Path, big: str) -> None:
    """A Debian, packed as image servers have it; launched when its image has been used before too."""
    mine = bench.systems[0]
    mine.run("init", big, "bench-seed")
    fingerprint = mine.instance("bench-seed")["config"]["volatile.base_image"]
    mine.run("delete", "bench-seed")
    mine.run("image", "export", fingerprint, folder / "big")
    subprocess.run(["sh", "-c", f"zstd -dc {folder}/big.root | xz -T0 -1 >{folder}/big.tar.xz"], check=True)
    packed = Packed(folder / "big", folder / "big.tar.xz")
    bench.measure(
        "unpack Debian, against `xz -dc | tar -x`",
        lambda *_: packed.unpacked_against_tools(),
        3,
        unit="times",
        goal=Goal(1.15, "times theirs"),
        systems=[mine],
    )
    bench.measure("import Debian", lambda s, _: packed.import_anew(s), 3, goal=Goal(1.0))
    bench.measure("launch Debian, the first", lambda s, _: packed.launch_first(s), 3, goal=Goal(0.6))
    bench.measure("export Debian", lambda s, _: packed.export_from(s), 3, goal=Goal(1.0))
    goal = Goal(0.05)
    for system in bench.systems:
        system.run("launch", ALIAS, "bench-seed")
    bench.measure("launch Debian, not the first", lambda s, i: s.run("launch", ALIAS, f"bench-b{i}"), 3, goal=goal)
    for system in bench.systems:
        system.run("delete", "--force", "bench-seed", *(f"bench-b{i}" for i in range(3)))
    bench.attempt(lambda: life_work(bench, folder, ALIAS))
    with contextlib.ExitStack() as ends:
        peers = [make(peer=True) for make in MAKERS[: len(bench.systems)]]
        for peer in peers:
            ends.callback(peer.stop)
            peer.start()
        bench.attempt(lambda: server_to_server_work(bench, peers, ALIAS))
    if len(bench.systems) > 1:
        bench.attempt(lambda: _beside_btrfs(bench, folder))


def _beside_btrfs(bench: Bench, folder: Path) -> None:
    with BtrfsPools(folder) as pools:
        btrfs_work(bench, pools, ALIAS)


def server_work(bench: Bench, folder: Path) -> None:
    """Image servers: what we offer, what we read, and memory meanwhile."""
    large = large_image(folder / "large.tar", 4 << 30)
    bench.measure(
        "memory that 4 GiB passing through add",
        lambda s, _: growth_mib(s, large),
        unit="MiB",
        goal=Goal(32, "MiB"),
        systems=bench.systems[:1],
    )
    offered = PublicImage(folder)
    for system in bench.systems:
        offered.offer(system)
    goal = Goal(0.8, is_floor=True)
    bench.measure("download 1 GiB over TLS", lambda s, _: offered.download(s), 3, unit="MiB/s", goal=goal)
    for system in bench.systems:
        offered.withdraw(system)
    with many_products(bench.systems, folder) as list_them:
        bench.measure("list of 2,000 products, cached", lambda s, _: list_them(s), bench.rounds, goal=Goal(0.8))


def many_work(bench: Bench, many: int) -> None:
    """Many containers, some of them running."""
    for system in bench.systems:
        for i in range(many - 2):
            system.run("init", "bench-small", f"bench-m{i}")
    bench.measure(f"list of {many}", lambda s, _: s.run("list"), bench.rounds, goal=Goal(0.5))
    running = min(30, many - 2)
    more = [f"bench-m{i}" for i in range(running)]
    before = {system.name: system.manager_mib() for system in bench.systems}
    bench.measure(f"start {running}, one command", lambda s, _: s.run("start", *more))
    bench.measure(f"list of {many}, {running + 2} running", lambda s, _: s.run("list"), bench.rounds)
    bench.measure(
        f"memory added per container, {running} started",
        lambda s, _: (s.manager_mib() - before[s.name]) / running,
        unit="MiB",
        goal=Goal(2.5, "MiB"),
    )
    everyone = [f"bench-m{i}" for i in range(many - 2)]
    bench.measure(f"delete {many - 2}, one command", lambda s, _: s.run("delete", "--force", *everyone))


def live_work(bench: Bench, folder: Path, users: int) -> None:
    """What is changed while containers run, inside the daemon."""
    n, live = bench.rounds, Live(bench.systems, folder)
    try:
        bench.measure("change a memory limit, live", live.limit, 2 * n, goal=Goal(0.03, "s"))
        bench.measure("add a disk, live", live.disk, n, goal=Goal(0.05, "s"))
        bench.measure(f"add a proxy of {PORTS:,} ports, live", live.proxy, 3, goal=Goal(1, "s"))
        one = Goal(1, "process")
        bench.measure(f"processes that serve {PORTS:,} ports", live.processes, unit="processes", goal=one)
        if shutil.which(PARSER):
            ours, goal = bench.systems[:1], Goal(0.03, "s")
            bench.measure("compile an AppArmor profile at the first start", live.first_confinement, n, systems=ours)
            bench.measure("the same at the next, from the cache", live.next_confinement, n, systems=ours, goal=goal)
        for system in bench.systems:
            live.prepare_profile(system, users)
        work = f"change a profile that {users} running containers have"
        bench.measure(work, live.profile, 3, goal=Goal(1, "s"))
        for system in bench.systems:
            live.forget_profile(system, users)
    finally:
        live.end(bench.systems)


def machine() -> str:
    """One line about where and when."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / MIB
    named = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        f"{today}: {os.cpu_count()} x {model[1] if model else platform.machine()}, {memory:.0f} GiB, "
        f"{named}, Linux {platform.release()}, Python {platform.python_version()}; "
        f"load average {os.getloadavg()[0]:.1f}."
    )


def page(bench: Bench, here: str) -> str:
    """docs/benchmarks.md; `here` is the machine as it was when the work began."""
    failed = "".join(f"- {line}\n" for line in bench.failures)
    return (
        "# Benchmarks\n\n<!-- Written by scripts/bench.py (make bench); do not edit. -->\n\n"
        f"{here}\n\n"
        "`ours` is this checkout with its own `lxc` on an `overlay` pool; `lxd` is the distribution's LXD with Go's\n"
        "`lxc` on a `dir` pool; each pool is its system's default. Medians of rounds in which both take turns;\n"
        "the ratio is ours to LXD's. Memory is PSS, of the daemon, its spawner and what watches the containers. The\n"
        "Debian is the same for both; LXD gets it packed with xz, as its image servers have theirs.\n\n"
        f"{bench.table()}" + (f"\nWhat failed:\n\n{failed}" if failed else "")
    )


def main() -> int:
    """Start both, measure, clean up, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="the page to write (default: print the table)")
    parser.add_argument("--rounds", type=int, default=7, help="how often the small work is done")
    parser.add_argument("--many", type=int, default=100, help="how many instances the long lists have")
    parser.add_argument("--users", type=int, default=50, help="how many running containers have the profile")
    parser.add_argument("--big", default="build:debian/12", help='the Debian image; "" leaves it out')
    parser.add_argument(
        "--only", action="append", choices=["small", "big", "servers", "live", "many"], help="a part of it"
    )
    parser.add_argument("--alone", action="store_true", help="without the real LXD")
    arguments = parser.parse_args()
    if not arguments.alone and not REAL.exists():
        parser.error(
            f"{REAL} is not there: scripts/setup --bench installs it where the distribution has it; or --alone"
        )
    systems = [make() for make in MAKERS[: 1 if arguments.alone else None]]
    bench = Bench(systems, arguments.rounds)
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as ends:
        folder = Path(temporary)
        for system in systems:
            ends.callback(system.stop)
            system.start()
        bench.measure(
            "memory of daemon and spawner, idle", lambda s, _: s.manager_mib(), unit="MiB", goal=Goal(80, "MiB")
        )
        here = machine()
        parts = {
            "small": lambda: small_work(bench, folder),
            "big": lambda: big_work(bench, folder, arguments.big) if arguments.big else None,
            "servers": lambda: server_work(bench, folder),
            "live": lambda: live_work(bench, folder, arguments.users),
            "many": lambda: many_work(bench, arguments.many),
        }
        for part in arguments.only or parts:
            bench.attempt(parts[part])
    if arguments.write:
        arguments.write.write_text(page(bench, here))
    print(bench.table())
    for line in bench.failures:
        print(f"failed: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
