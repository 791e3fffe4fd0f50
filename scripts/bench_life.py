"""The life of an instance under the clock: snapshots, copies, publishing, export, many files, and a second server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.bench_servers import free_port  # from the checkout this script is in
from scripts.bench_systems import System
from scripts.bench_table import Bench, Goal

NAME = "bench-life"
_FILES = 500
_COPIES = 10
_PASSWORD = "bench"  # of servers that listen on loopback for a minute


def life_work(bench: Bench, folder: Path, image: str) -> None:
    """One Debian container, running: what one keeps of it and makes of it. `image` is an alias on all systems."""
    rounds = min(3, bench.rounds)
    for system in bench.systems:
        system.run("launch", image, NAME)
    bench.measure("snapshot Debian", lambda s, i: s.run("snapshot", NAME, f"s{i}"), rounds, goal=Goal(0.05))
    bench.measure("restore Debian", lambda s, _: s.run("restore", NAME, "s0"), rounds, goal=Goal(0.2))
    bench.measure(
        "copy Debian", lambda s, i: s.run("copy", NAME, f"{NAME}-{i}", "--instance-only"), rounds, goal=Goal(0.05)
    )
    for system in bench.systems:
        system.run("delete", *(f"{NAME}-{i}" for i in range(rounds)))
    bench.measure(
        "publish Debian", lambda s, i: s.run("publish", f"{NAME}/s0", "--alias", f"life-{i}"), 2, goal=Goal(0.25)
    )
    bench.measure("export Debian's backup", lambda s, _: _exported(s, folder), 2, goal=Goal(0.25))
    many = folder / "many"
    for i in range(_FILES):
        place = many / f"d{i % 20}" / f"file{i}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x" * 4096)
    bench.measure(
        f"push {_FILES} files",
        lambda s, i: s.run("file", "push", "-r", many, f"{NAME}/root/m{i}", "-p"),
        3,
        goal=Goal(0.1),
    )
    mine = bench.systems[:1]
    goal = Goal(1.2, "times one")
    bench.measure(f"disk of {_COPIES} copies", lambda s, _: _copies_disk(s), unit="times one", goal=goal, systems=mine)
    for system in bench.systems:
        system.run("delete", "--force", NAME)


def _exported(system: System, folder: Path) -> float:
    place = folder / "backup.tar.gz"
    took = system.run("export", NAME, place, "--instance-only")
    place.unlink()
    return took


def _disk(system: System) -> int:
    """Bytes of the pool on the disk, without what is mounted in it."""
    words = ["du", "--summarize", "--one-file-system", "--block-size=1", system.state / "storage-pools/default"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # the trash is emptied meanwhile
    return int(done.stdout.split()[0])


def _copies_disk(system: System) -> float:
    """The disk that one stopped container and its copies take, to that of the one."""
    system.run("stop", "--force", NAME)
    one = _disk(system)
    names = [f"{NAME}-d{i}" for i in range(_COPIES)]
    for name in names:
        system.run("copy", NAME, name)
    together = _disk(system)
    system.run("delete", *names)
    return together / one


def server_to_server_work(bench: Bench, peers: list[System], image: str) -> None:
    """Copies between two servers of a kind, on loopback; a second copy that has nothing to send."""
    pairs = dict(zip((system.name for system in bench.systems), peers, strict=True))
    for system in bench.systems:
        system.run("init", image, NAME)
        _acquaint(system, pairs[system.name])
    bench.measure(
        "copy Debian to another server",
        lambda s, i: s.run("copy", NAME, f"peer:{NAME}-{i}"),
        3,
        goal=Goal(0.8),
    )
    mine = bench.systems[:1]
    bench.measure(
        "copy --refresh, nothing changed",
        lambda s, _: s.run("copy", NAME, f"peer:{NAME}-0", "--refresh"),
        3,
        goal=Goal(1, "s"),
        systems=mine,
    )
    bench.measure(
        "bytes that it sent",
        lambda s, _: _sent_mb(s),
        unit="MB",
        goal=Goal(1, "MB"),
        systems=mine,
    )
    for system in bench.systems:
        system.run("delete", NAME)


def _sent_mb(system: System) -> float:
    """Megabytes over loopback while a copy is refreshed."""
    before = _over_loopback()
    system.run("copy", NAME, f"peer:{NAME}-0", "--refresh")
    return (_over_loopback() - before) / 1e6


def _over_loopback() -> int:
    return int(Path("/sys/class/net/lo/statistics/tx_bytes").read_text())


def _acquaint(system: System, peer: System) -> None:
    """Have both listen on loopback, and the client of the one know the other as `peer`."""
    for one in (system, peer):
        one.run("config", "set", "core.https_address", f"127.0.0.1:{free_port()}")
        one.run("config", "set", "core.trust_password", _PASSWORD)
    address = peer.get("/1.0")["config"]["core.https_address"]
    words = ("--accept-certificate", "--password", _PASSWORD)
    system.run("remote", "add", "peer", f"https://{address}", *words)


class BtrfsPools:
    """A file system of btrfs in a file, on which each system gets a pool."""

    def __init__(self, folder: Path) -> None:
        self._file, self._place = folder / "btrfs.img", folder / "btrfs"
        with self._file.open("wb") as file:
            file.truncate(8 << 30)
        self._place.mkdir()

    def __enter__(self) -> BtrfsPools:
        """Make and mount it. Raises OSError, CalledProcessError where there is no btrfs."""
        subprocess.run(["mkfs.btrfs", "--quiet", self._file], check=True)
        subprocess.run(["mount", "-o", "loop", self._file, self._place], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", self._place], check=True)
        shutil.rmtree(self._place)

    def pool_for(self, system: System) -> str:
        """A pool of it on one system, as its name."""
        system.run("storage", "create", "bench-btrfs", "btrfs", f"source={self._place / system.name}")
        return "bench-btrfs"


def btrfs_work(bench: Bench, pools: BtrfsPools, image: str) -> None:
    """Snapshot, copy and delete on pools of btrfs, which lie on one file system."""
    for system in bench.systems:
        system.run("init", image, NAME, "--storage", pools.pool_for(system))
    rounds, goal = bench.rounds, Goal(0.5)
    bench.measure("snapshot on btrfs", lambda s, i: s.run("snapshot", NAME, f"s{i}"), rounds, goal=goal)
    bench.measure(
        "copy on btrfs", lambda s, i: s.run("copy", NAME, f"{NAME}-{i}", "--instance-only"), rounds, goal=goal
    )
    bench.measure("delete on btrfs", lambda s, i: s.run("delete", f"{NAME}-{i}"), rounds, goal=goal)
    for system in bench.systems:
        system.run("delete", NAME)
        for fingerprint in [url.rpartition("/")[2] for url in system.get("/1.0/images")]:
            system.request("DELETE", f"/1.0/storage-pools/bench-btrfs/volumes/image/{fingerprint}")
        system.run("storage", "delete", "bench-btrfs")
