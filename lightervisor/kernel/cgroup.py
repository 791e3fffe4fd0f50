"""Cgroups of a container, on v1, hybrid and v2 hosts. Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst."""

import collections
import contextlib
import errno
import functools
import glob
import os
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lightervisor.errors import HostError
from lightervisor.kernel import deep_walk, pidfd

ROOT = Path("/sys/fs/cgroup")
HUGE_PAGES = Path("/sys/kernel/mm/hugepages")
STILL_BUSY_S = 0.5


class Usage(NamedTuple):
    """What a container uses now; None where no controller tells."""

    cpu_ns: int
    memory: int
    memory_peak: int
    swap: int
    swap_peak: int
    processes: int


def directories(pid: int) -> dict[str, Path]:
    """The cgroup directory of a process for each controller; "" is the unified hierarchy."""
    try:
        return parse(Path(f"/proc/{pid}/cgroup").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return {}


def parse(text: str) -> dict[str, Path]:
    """The directories that a text of /proc/<pid>/cgroup names."""
    found: dict[str, Path] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = ROOT if (ROOT / "cgroup.controllers").exists() else ROOT / "unified"
            found[""] = base / path.lstrip("/")
            continue
        for controller in controllers.removeprefix("name=").split(","):
            mount = ROOT / controllers if (ROOT / controllers).is_dir() else ROOT / controller
            found[controller] = mount / path.lstrip("/")
    return found


def payload(pid: int, name: str) -> dict[str, Path]:
    """As `directories`, cut at the container's own cgroup (init may have moved below it)."""
    ours = _own(os.getpid())
    cut = {controller: own_group(path, name, ours.get(controller)) for controller, path in directories(pid).items()}
    return {controller: group for controller, group in cut.items() if group is not None}


def own_group(path: Path, name: str, ours: Path | None) -> Path | None:
    """The cgroup of a container that one of its processes is in or below; None when it is another's.

    It is the uppermost of that name: a guest may make more of them below, which it can write to, and move there. Those
    that the daemon is in itself (`ours` is its cgroup) are of a container around both.
    """
    around = () if ours is None else (ours, *ours.parents)
    uppermost_first = reversed((path, *path.parents))
    return next((one for one in uppermost_first if _is_payload(one, name) and one not in around), None)


def _is_payload(group: Path, name: str) -> bool:
    return group.name.startswith(f"lxc.payload.{name}")


@functools.cache
def _own(pid: int) -> dict[str, Path]:
    return directories(pid)


def _number(groups: dict[str, Path], controller: str, name: str) -> int:
    directory = groups.get(controller)
    if directory is None:
        return 0
    try:
        text = (directory / name).read_text().split()[0]
    except (OSError, IndexError):
        return 0
    return int(text) if text.isdecimal() else 0


def usage(groups: dict[str, Path]) -> Usage:
    """What the container whose `payload` this is uses now."""
    if "memory" in groups:
        memory, peak = (_number(groups, "memory", f"memory.{n}") for n in ("usage_in_bytes", "max_usage_in_bytes"))
        both, both_peak = (
            _number(groups, "memory", f"memory.memsw.{n}") for n in ("usage_in_bytes", "max_usage_in_bytes")
        )
        swap, swap_peak = max(0, both - memory), max(0, both_peak - peak)
    else:
        memory, peak, swap, swap_peak = (
            _number(groups, "", f"memory.{n}") for n in ("current", "peak", "swap.current", "swap.peak")
        )
    processes = _number(groups, "pids" if "pids" in groups else "", "pids.current")
    return Usage(_cpu_ns(groups), memory, peak, swap, swap_peak, processes)


def _cpu_ns(groups: dict[str, Path]) -> int:
    if "cpuacct" in groups:
        return _number(groups, "cpuacct", "cpuacct.usage")
    try:
        lines = (groups[""] / "cpu.stat").read_text().splitlines()
    except (KeyError, OSError):
        return 0
    return next((int(line.split()[1]) * 1000 for line in lines if line.startswith("usage_usec")), 0)


def write(groups: Mapping[str, Path], setting: tuple[str, str, str, str], *, is_wanted: bool = True) -> None:
    """Write one limit, (v1 file, v2 file, v1 value, v2 value), to whichever hierarchy has its controller.

    Raises HostError when the kernel refuses the value. A value that only lifts a limit (not `is_wanted`) may
    have no file: then there was no limit.
    """
    v1, v2, value_v1, value_v2 = setting
    controller = (v1 or v2).partition(".")[0]
    if v1 and controller in groups:
        target, value = groups[controller] / v1, value_v1
    elif v2 and "" in groups and controller not in groups:
        target, value = groups[""] / v2, value_v2
    else:
        return
    try:
        put(target, value)
    except FileNotFoundError as error:
        if is_wanted:
            raise HostError("limit", target.name, cause="this kernel does not have it") from error
    except OSError as error:
        cause = f"the kernel refused {value!r} for {target.name}: {error.strerror}"
        is_used = error.errno == errno.EBUSY and controller == "memory"
        remedy = "the instance uses more than that: end programs in it first" if is_used else ""
        raise HostError("limit", target.name, cause=cause, remedy=remedy) from error


def put(target: Path, value: str) -> None:
    """Write a value into one file of a cgroup. Raises OSError."""
    descriptor = os.open(target, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def remove(groups: Iterable[Path], *, patience_s: float = STILL_BUSY_S) -> None:
    """Remove these cgroups and what is below them, as far as they are empty: what a killed monitor left. Blocking.

    A process that has ended is in its cgroup for a moment more: from Linux 6.18 on it leaves when it is switched out
    for the last time, which is after its end was told. So what is busy is tried again, for half a second in all.
    """
    waiting = list(groups)
    deadline = time.monotonic() + patience_s
    while waiting := [directory for directory in waiting if not _removed(directory)]:
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)


def _removed(top: Path) -> bool:
    """Remove what is empty; whether nothing is left that was busy."""
    busy: list[str] = []

    def remove_one(directory: int | None, name: str) -> None:
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno == errno.EBUSY:
                busy.append(name)

    with contextlib.suppress(OSError):
        opened = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            collections.deque(deep_walk.walk(opened, remove_one), maxlen=0)
        finally:
            os.close(opened)
        remove_one(None, str(top))
    return not busy


def monitors(groups: Mapping[str, Path], name: str) -> list[Path]:
    """Those of a process's cgroups that are its container's monitor's, for `remove`."""
    return [path for path in groups.values() if path.name.startswith(f"lxc.monitor.{name}")]


def monitor_pids(name: str) -> set[int]:
    """The pids in monitor cgroups for containers of this name, whoever's: liblxc numbers them when there are several.

    Those too in the one cgroup of the host that monitors enter to remove their own. Source: lxc.container.conf(5),
    lxc.cgroup.relative; liblxc, cgroup_exit.
    """
    bases = {path.parent if path.name == "init.scope" else path for path in directories(1).values()}
    groups = [group for base in bases for group in base.glob(f"lxc.monitor.{glob.escape(name)}*")]
    return processes([*groups, *(base / "lxc.pivot" for base in bases)])


def processes(groups: Iterable[Path]) -> set[int]:
    """The pids of the processes in these cgroups themselves."""
    found: set[int] = set()
    for group in groups:
        with contextlib.suppress(OSError):
            found.update(int(line) for line in (group / "cgroup.procs").read_text().split())
    return found


class Offered(NamedTuple):
    """What this host's cgroups have: files of v1 controllers, the names of v2's controllers, and files of these.

    Which files of v2 there are is known only of controllers that some cgroup of the host uses.
    """

    files_v1: frozenset[str]
    controllers_v2: frozenset[str]
    files_v2: frozenset[str] = frozenset()

    def has(self, name: str, *, version: int) -> bool:
        """Whether a file such as "memory.max" can be written in that version's hierarchy."""
        if version == 1:
            return name in self.files_v1
        controller = name.partition(".")[0]
        is_seen = any(file.startswith(f"{controller}.") for file in self.files_v2)
        return name in self.files_v2 if is_seen else controller in self.controllers_v2


@functools.cache
def offered() -> Offered:
    """Look once, with a scratch cgroup in each v1 hierarchy: files of limits are not in the root."""
    files: set[str] = set()
    for hierarchy in ROOT.iterdir() if ROOT.is_dir() else ():
        if hierarchy.is_symlink() or not (hierarchy / "cgroup.clone_children").exists():
            continue
        for left in hierarchy.glob("lightervisor.probe.*"):  # of a daemon that was killed meanwhile
            if not Path("/proc", left.name.rpartition(".")[2]).exists():
                with contextlib.suppress(OSError):
                    left.rmdir()
        scratch = hierarchy / f"lightervisor.probe.{os.getpid()}"
        with contextlib.suppress(OSError):
            scratch.mkdir()
            try:
                files.update(one.name for one in scratch.iterdir())
            finally:
                scratch.rmdir()
    unified = ROOT if (ROOT / "cgroup.controllers").exists() else ROOT / "unified"
    try:
        controllers = (unified / "cgroup.controllers").read_text().split()
        files_v2 = {file.name for child in unified.iterdir() if child.is_dir() for file in child.iterdir()}
        if "hugetlb" in controllers:  # it may be that no cgroup has it yet
            files_v2 |= {f"hugetlb.{size}.max" for size in huge_page_sizes()}
    except OSError:
        return Offered(frozenset(files), frozenset())
    return Offered(frozenset(files), frozenset([*controllers, "devices"]), frozenset(files_v2))


@functools.cache
def huge_page_sizes() -> list[str]:
    """The sizes that this host has, spelled as in the names of cgroup files. Source: hugetlbpage.rst."""
    sizes = [int(one.name.rpartition("-")[2].removesuffix("kB")) for one in HUGE_PAGES.glob("hugepages-*kB")]
    return [f"{kib}KB" if kib < 1024 else f"{kib >> 10}MB" if kib < 1 << 20 else f"{kib >> 20}GB" for kib in sizes]


def enable(controllers: Iterable[str]) -> None:
    """On a hybrid host let cgroups have these controllers of v2 (else liblxc does); what fails, a limit will tell."""
    root = ROOT / "unified"
    for controller in sorted(controllers):
        with contextlib.suppress(OSError):
            if controller not in (root / "cgroup.subtree_control").read_text().split():
                put(root / "cgroup.subtree_control", f"+{controller}")


def set_frozen(groups: dict[str, Path], *, frozen: bool) -> None:
    """Freeze or thaw every process of a container. Raises HostError when the kernel refuses.

    liblxc's own freeze fails on hybrid hosts. Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
    """
    target = freezer(groups)
    if target is None:
        raise HostError("freezer", cause="this host has no freezer cgroup")
    words = ("0", "1") if target.name == "cgroup.freeze" else ("THAWED", "FROZEN")
    try:
        target.write_text(words[frozen])
    except OSError as error:
        raise HostError("freezer", cause=f"the kernel refused: {error.strerror}") from error


def kill_frozen(groups: dict[str, Path]) -> None:
    """Kill every process of a frozen container; on cgroup v1 they end when they are thawed. Blocking."""
    file = freezer(groups)
    below = [Path(directory) for directory, _, _ in os.walk(file.parent)] if file is not None else []
    found = {pid: pidfd.open_process(pid) for pid in processes(below)}
    still_there = processes(below)  # what is frozen has its pid for itself
    for pid, process in found.items():
        if process is not None:
            if pid in still_there:
                pidfd.send(process, signal.SIGKILL)
            os.close(process)


def freezer(groups: dict[str, Path]) -> Path | None:
    """The file that says whether a container is frozen; None when the host has no freezer."""
    if "freezer" in groups:
        return groups["freezer"] / "freezer.state"
    return groups[""] / "cgroup.freeze" if "" in groups else None


def is_frozen(groups: dict[str, Path]) -> bool:
    """Whether the container is frozen, by whomever."""
    file = freezer(groups)
    return file is not None and says_frozen(file)


def says_frozen(file: Path) -> bool:
    """Whether this file of `freezer` says so; not when the container has ended."""
    try:
        state = file.read_text().strip()
    except OSError:
        return False
    return state == "1" if file.name == "cgroup.freeze" else state != "THAWED"


def hold(groups: dict[str, Path], *, patience_s: float) -> None:
    """Freeze every process of a container and wait until none moves any more.

    Raises HostError when one does not stop in time (it waits for a disk); then all go on.
    """
    set_frozen(groups, frozen=True)
    limit = time.monotonic() + patience_s
    while not _is_still(groups):
        if time.monotonic() > limit:
            set_frozen(groups, frozen=False)
            cause = f"a process inside does not stop within {patience_s:g} s: it waits for the kernel"
            raise HostError("freezer", cause=cause, remedy="try again when its disks are less busy")
        time.sleep(0.001)


def _is_still(groups: dict[str, Path]) -> bool:
    """Whether the freezing is over. A container that has ended is still."""
    try:
        if "freezer" in groups:
            return (groups["freezer"] / "freezer.state").read_text().strip() != "FREEZING"
        return "frozen 1" in (groups[""] / "cgroup.events").read_text().splitlines()
    except OSError:
        return True
