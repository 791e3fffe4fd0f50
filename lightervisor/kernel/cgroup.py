"""Cgroups of a container, on v1, hybrid and v2 hosts. Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst."""

import os
from pathlib import Path
from typing import NamedTuple

from lightervisor.errors import HostError

ROOT = Path("/sys/fs/cgroup")


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
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    found: dict[str, Path] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = ROOT if (ROOT / "cgroup.controllers").exists() else ROOT / "unified"
            found[""] = base / path.lstrip("/")
            continue
        for controller in controllers.split(","):
            mount = ROOT / controllers if (ROOT / controllers).is_dir() else ROOT / controller
            found[controller] = mount / path.lstrip("/")
    return found


def payload(pid: int, name: str) -> dict[str, Path]:
    """As `directories`, cut at the container's own cgroup (init may have moved below it)."""
    found: dict[str, Path] = {}
    for controller, path in directories(pid).items():
        for one in (path, *path.parents):
            if one.name.startswith(f"lxc.payload.{name}"):
                found[controller] = one
                break
    return found


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


def write(groups: dict[str, Path], setting: tuple[str, str, str, str], *, is_wanted: bool = True) -> None:
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
        descriptor = os.open(target, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        if is_wanted:
            raise HostError("limit", v1 or v2, cause="this kernel does not have it") from error
    except OSError as error:
        cause = f"the kernel refused {value!r} for {target.name}: {error.strerror}"
        raise HostError("limit", v1 or v2, cause=cause) from error


def sweep(name: str) -> None:
    """Remove empty cgroups that a killed monitor of this container left behind."""
    for hierarchy in (ROOT, *(path for path in ROOT.iterdir() if path.is_dir())):
        for kind in ("payload", "monitor"):
            for top in hierarchy.glob(f"lxc.{kind}.{name}"):
                for directory in sorted((top, *top.rglob("*/")), reverse=True):
                    try:
                        directory.rmdir()
                    except OSError:
                        break


def set_frozen(groups: dict[str, Path], *, frozen: bool) -> None:
    """Freeze or thaw every process of a container. Raises HostError when the kernel refuses.

    liblxc's own freeze fails on hybrid hosts. Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
    """
    if "freezer" in groups:
        target, value = groups["freezer"] / "freezer.state", "FROZEN" if frozen else "THAWED"
    elif "" in groups:
        target, value = groups[""] / "cgroup.freeze", "1" if frozen else "0"
    else:
        raise HostError("freezer", cause="this host has no freezer cgroup")
    try:
        target.write_text(value)
    except OSError as error:
        raise HostError("freezer", cause=f"the kernel refused: {error.strerror}") from error


def is_frozen(groups: dict[str, Path]) -> bool:
    """Whether the container is frozen."""
    try:
        if "freezer" in groups:
            return (groups["freezer"] / "freezer.state").read_text().strip() != "THAWED"
        return (groups[""] / "cgroup.freeze").read_text().strip() == "1"
    except (KeyError, OSError):
        return False
