"""Remove by force what a daemon has on this host, without its help: it was killed, or its program is gone.

Everything is found through the state directory, so that nothing of another daemon is touched: the daemon holds its
lock, containers are noted below `containers/.running`, monitors and dnsmasq name the directory on their command lines,
each bridge has a directory in `networks`. Standard library only: the checkout's own environment may be gone as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROC = Path("/proc")
NET = Path("/sys/class/net")
LOCKS = Path("/run/lxc/lock")
PATIENCE_S = 10.0


def processes() -> Iterator[Path]:
    """The directory in /proc of every process but this one."""
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            yield entry


def words(process: Path) -> list[str]:
    """A process's command line; nothing once it has ended, though nobody may have asked how yet."""
    with contextlib.suppress(OSError):
        if text := (process / "cmdline").read_text(errors="replace").rstrip("\0"):
            return text.split("\0")
    return []


def holds(process: Path, file: Path) -> bool:
    """Whether the process has the file open."""
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # this one was closed meanwhile
                if descriptor.readlink() == file:
                    return True
    return False


def is_monitor(process: Path, state: Path) -> bool:
    """Whether this is liblxc's monitor of a container of this daemon."""
    return " ".join(words(process)).startswith(f"[lxc monitor] {state}/")


def is_dnsmasq(process: Path, state: Path) -> bool:
    """Whether this is the dnsmasq of a network of this daemon."""
    line = words(process)
    return Path(line[0]).name == "dnsmasq" and f"--conf-file={state}/" in " ".join(line) if line else False


def children(process: Path) -> list[Path]:
    """The processes that this one started."""
    with contextlib.suppress(OSError):
        return [PROC / pid for task in (process / "task").iterdir() for pid in (task / "children").read_text().split()]
    return []


def end(found: list[Path]) -> None:
    """Kill these processes and wait until they are gone."""
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process.name), signal.SIGKILL)
    wait(lambda: not any(words(process) for process in found), "processes to end")


def wait(done: Callable[[], bool], what: str) -> None:
    """Wait until it is so; the kernel tells nobody when it is. Ends the program when it takes too long."""
    limit = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > limit:
            sys.exit(f"sweep: waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.02)


def started(process: Path) -> int:
    """When the process started, in clock ticks since boot; -1 when there is none. Source: proc(5), field 22."""
    with contextlib.suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[19])
    return -1


def noted(state: Path) -> tuple[list[Path], list[Path]]:
    """The processes that still run and the cgroups of all containers, as the daemon noted them (runtime/notes.py)."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    found: list[Path] = []
    groups: list[Path] = []
    for file in (state / "containers/.running").glob("[!.]*"):
        note = json.loads(file.read_text())
        if note["boot"] != boot:
            continue
        for process in (note["starter"], note["init"]):
            if process and started(PROC / str(process["pid"])) == process["started"]:
                found.append(PROC / str(process["pid"]))
        groups += [Path(path) for path in note["groups"]]
    return found, groups


def remove_groups(groups: list[Path]) -> None:
    """Remove cgroups and those below them; their processes are gone already."""
    for group in groups:
        for folder in sorted((Path(folder) for folder, _, _ in os.walk(group)), reverse=True):
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()


def unmount(state: Path) -> None:
    """Take away every mount at or below the directory, the last first."""
    for line in reversed((PROC / "self/mounts").read_text().splitlines()):
        place = line.split()[1].encode().decode("unicode_escape")
        if place == str(state) or place.startswith(f"{state}/"):
            subprocess.run(["umount", "--lazy", place], check=True)


def remove_networks(state: Path) -> None:
    """Remove the bridges of the daemon's networks and their firewall chains."""
    names = [entry.name for entry in (state / "networks").glob("*")]
    if not names:
        return
    listed = subprocess.run(["nft", "-j", "list", "chains", "inet"], capture_output=True, check=False).stdout
    for item in json.loads(listed or b'{"nftables": []}')["nftables"]:
        chain = item.get("chain", {})
        if chain.get("table") == "lxd" and chain["name"].partition(".")[2] in names:
            subprocess.run(["nft", "delete", "chain", "inet", "lxd", chain["name"]], check=True)
    for name in names:
        if (NET / name / "bridge").is_dir():
            subprocess.run(["ip", "link", "delete", name], check=True)


def main() -> None:
    """Read the arguments, remove everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path, help="the daemon's state directory (LXD_DIR)")
    state = parser.parse_args().state.resolve()
    if not (state / "daemon.lock").exists() and any(state.glob("database/*")):
        sys.exit(f"sweep: {state} holds a database, but not one of ours")
    end([process for process in processes() if holds(process, state / "daemon.lock")])  # it would start others anew
    found, groups = noted(state)
    monitors = [process for process in processes() if is_monitor(process, state)]
    end([*found, *(child for monitor in monitors for child in children(monitor))])
    end(monitors)
    end([process for process in processes() if is_dnsmasq(process, state)])
    remove_groups(groups)
    unmount(state)
    remove_networks(state)
    shutil.rmtree(state)
    # liblxc locks containers in a directory of the same path, and leaves it.
    shutil.rmtree(LOCKS / state.relative_to("/"), ignore_errors=True)


main()
