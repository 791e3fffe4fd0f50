"""What a daemon must not leave behind, looked for in the kernel and on disk.

A picture is taken before the daemon starts and another one after it is gone; what is new and belongs to one of our
daemons is a leak. Other engines and other test runs may be at work on the same machine, so each kind has a rule for
"ours": the state directory's path, the bridge's name, or that nobody holds it any more. By the last rule other workers
of the same run would be suspected, whose tests kill and break: there it is the whole run that looks, at its end.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import processes
from tests.harness.daemon import Daemon

PATIENCE_S = 30.0  # not waited for unless something is suspect
CGROUPS = Path("/sys/fs/cgroup")
NET = Path("/sys/class/net")
FOLDERS = ("/run", "/var/log", "/var/log/lxd", "/dev/shm", "/var/lib")
RUN_PREFIX = "lv-run-"


@dataclass(frozen=True)
class Picture:
    """What there is at one moment, of the kinds that could not be told ours by their names."""

    cgroups: frozenset[str]
    links: frozenset[str]
    folders: frozenset[str]


def is_worker() -> bool:
    """Whether other processes run tests of the same run."""
    return "PYTEST_XDIST_WORKER" in os.environ


def take() -> Picture:
    """The picture of this moment."""
    places = {Path(place) for place in (tempfile.gettempdir(), *(() if is_worker() else FOLDERS))}
    folders = (str(entry) for place in places if place.is_dir() for entry in place.iterdir())
    return Picture(frozenset(_cgroups()), frozenset(_links()), frozenset(folders))


def find(before: Picture, daemons: Sequence[Daemon]) -> list[str]:
    """One line for each thing left behind by these daemons since `before`."""
    states = [str(daemon.state) for daemon in daemons]
    bridges = [daemon.bridge for daemon in daemons]
    now = take()
    found = [f"mount: {place}" for place in _mounts() if _mentions(place, states)]
    found += [f"process: {pid} {command}" for pid, command in _processes() if _mentions(command, states)]
    found += [f"loop device: {line}" for line in _loop_devices() if _mentions(line, states)]
    found += [f"nft: {line}" for line in _nft() if _names(line, bridges)]
    found += [f"link: {link}" for link in now.links - before.links if link in bridges]
    found += [f"file: {path}" for path in now.folders - before.folders if _names_us(path)]
    return sorted(found if is_worker() else found + _abandoned(before, now))


def of_run(before: Picture, temporary: Path) -> list[str]:
    """One line for each thing that a run left, whose temporary files were here, now that all its workers have ended."""
    now = take()
    found = [f"file: {path}" for path in now.folders - before.folders if _names_us(path)]
    found += [f"file: {path}" for path in temporary.glob("*/*")]
    found += [f"mount: {place}" for place in _mounts() if place.startswith(f"{temporary}/")]
    # A worker itself was started with the directory above its own.
    found += [f"process: {pid} {command}" for pid, command in _processes() if f"TMPDIR={temporary}/" in command]
    return sorted(found + _abandoned(before, now))


def of_instance(daemon: Daemon, name: str) -> list[str]:
    """What exists of an instance that should be gone, the daemon still running."""
    pools = daemon.state / "storage-pools"
    paths = [*pools.glob(f"*/containers/{name}"), *pools.glob(f"*/containers-snapshots/{name}")]
    paths += [daemon.state / folder / name for folder in ("containers", "devices", "devlxd", "logs", "shmounts")]
    paths += [*daemon.state.glob(f"security/*/{name}")]
    found = [f"file: {path}" for path in paths if os.path.lexists(path)]
    for leases in daemon.state.glob("networks/*/dnsmasq.leases"):
        found += [f"lease: {line}" for line in leases.read_text().splitlines() if name in line.split()]
    return sorted([*found, *of_stopped(daemon, name)])


def of_stopped(daemon: Daemon, name: str) -> list[str]:
    """What exists of an instance that should not run, the daemon still running; no other may run on its bridge."""
    paths = [*daemon.state.glob(f"networks/*/dnsmasq.hosts/*{name}.*"), *daemon.state.glob(f"containers/.*/*{name}")]
    found = [f"file: {path}" for path in paths]
    found += [f"link: {port.name}" for port in (NET / daemon.bridge / "brif").glob("*")]
    found += [f"mount: {place}" for place in _mounts() if f"{daemon.state}/" in place and f"/{name}" in place]
    found += [f"nft: {line}" for line in _nft() if f".{name}." in line]
    found += [f"cgroup: {group}" for group in _cgroups() if group.rpartition("/")[2].endswith(f".{name}")]
    found += [
        f"process: {pid} {command}"
        for pid, command in _processes()
        if str(daemon.state) in command and command.split().count(name)
    ]
    return sorted(found)


def _abandoned(before: Picture, now: Picture) -> list[str]:
    """What is new and nobody's."""
    found = [f"link: {link}" for link in _lasting(now.links - before.links, _is_orphan)]
    return found + [f"cgroup: {group}" for group in _lasting(now.cgroups - before.cgroups, _is_empty)]


def _lasting(names: Iterable[str], is_abandoned: Callable[[str], bool]) -> set[str]:
    """Those that nobody holds for a while: in a moment, another run's container that starts or ends has none either."""
    left = {name for name in names if is_abandoned(name)}
    limit = time.monotonic() + PATIENCE_S
    while left and time.monotonic() < limit:
        time.sleep(0.1)
        left = {name for name in left if is_abandoned(name)}
    return left


def mounts_below(folder: Path) -> list[str]:
    """What is mounted below a folder, in the order in which it was."""
    return [place for place in _mounts() if place.startswith(f"{folder}/")]


def remove_cgroups(instance: str) -> None:
    """Remove the empty cgroups of an instance."""
    for group in sorted(_cgroups(), reverse=True):
        if group.rpartition("/")[2].endswith(f".{instance}"):
            for directory, _, _ in os.walk(CGROUPS / group, topdown=False):
                Path(directory).rmdir()


def _mentions(text: str, words: Iterable[str]) -> bool:
    return any(word in text for word in words)


def _names(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words stands there whole: another engine's bridge may have a longer name with ours in it."""
    return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in words)


def _mounts() -> list[str]:
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def _links() -> list[str]:
    return [link.name for link in NET.iterdir()]


def _is_orphan(link: str) -> bool:
    # The host's end of a container's cable that is plugged into no bridge: its container is gone.
    return link.startswith("veth") and (NET / link).exists() and not (NET / link / "master").exists()


def _cgroups() -> list[str]:
    """Those of containers and of what watches them, without what is below one: tests ask this very often."""
    found: list[str] = []
    for folder, names, _ in os.walk(CGROUPS):  # other runs' groups may go meanwhile: not pathlib, which would fail
        ours = [name for name in names if name.startswith(("lxc.", "lightervisor."))]
        names[:] = set(names).difference(ours)
        # liblxc moves monitors into lxc.pivot while it removes theirs; it is one for the host and stays.
        found += [os.path.relpath(Path(folder, name), CGROUPS) for name in ours if name != "lxc.pivot"]
    return found


def _is_empty(group: str) -> bool:
    for folder, _, _ in os.walk(CGROUPS / group):
        try:
            if Path(folder, "cgroup.procs").read_text().strip():
                return False
        except OSError:  # gone meanwhile
            continue
    return (CGROUPS / group).is_dir()


def _processes() -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for entry in (one.name for one in Path("/proc").iterdir()):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            command = _words(f"/proc/{entry}/cmdline")
            environment = _words(f"/proc/{entry}/environ")
        except OSError:  # gone meanwhile
            continue
        settings = [word for word in environment if word.startswith(("LXD_DIR=", "TMPDIR="))]
        found.append((int(entry), " ".join([*command, *settings])))
    return found


def _words(file: str) -> list[str]:
    with Path(file).open("rb", buffering=0) as opened:
        return opened.read().decode(errors="replace").rstrip("\0").split("\0")


def _loop_devices() -> list[str]:
    return processes.run(["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"]).stdout.splitlines()


def _nft() -> list[str]:
    return [line.strip() for line in processes.run(["nft", "list", "ruleset"]).stdout.splitlines()]


def _names_us(path: str) -> bool:
    name = path.rpartition("/")[2]
    other_run = re.match(rf"{RUN_PREFIX}(\d+)-", name)
    if other_run and Path("/proc", other_run[1]).exists():
        return False
    return name.startswith(("lightervisor", "lv-", "lxd-", "lvt"))
