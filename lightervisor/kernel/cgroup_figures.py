"""What a container has used so far, read from its cgroups in one go: for metrics, which are asked of all at once.

Every file is read once and with few calls. What a kernel does not count is left out. Source: cgroup-v1/memory.rst,
cpuacct.rst, blkio-controller.rst, hugetlb.rst; cgroup-v2.rst.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lightervisor.kernel import fsinfo
from lightervisor.kernel.cgroup import huge_page_sizes

_LARGEST = 64 << 10
# What memory.stat calls it, in cgroups v1 (for all below) and v2; both count bytes.
_MEMORY = {
    "Active_anon": ("total_active_anon", "active_anon"),
    "Active_file": ("total_active_file", "active_file"),
    "Cached": ("total_cache", "file"),
    "Dirty": ("total_dirty", "file_dirty"),
    "Inactive_anon": ("total_inactive_anon", "inactive_anon"),
    "Inactive_file": ("total_inactive_file", "inactive_file"),
    "Mapped": ("total_mapped_file", "file_mapped"),
    "RSS": ("total_rss", "anon"),
    "Shmem": ("total_shmem", "shmem"),
    "Swap": ("total_swap", "swap"),
    "Unevictable": ("total_unevictable", "unevictable"),
    "Writeback": ("total_writeback", "file_writeback"),
}


class Processor(NamedTuple):
    """Nanoseconds spent on one CPU, or on all of them as number 0 where the kernel does not tell them apart."""

    number: str
    user_ns: int
    system_ns: int


class Disk(NamedTuple):
    """What went to and came from a block device, by its name below /dev."""

    name: str
    read_bytes: int
    written_bytes: int
    reads: int
    writes: int


class Figures(NamedTuple):
    """One container's. `memory` is in bytes, by the words of LXD's metrics."""

    processors: list[Processor]
    disks: list[Disk]
    memory: dict[str, int]
    processes: int | None


def read(groups: Mapping[str, Path]) -> Figures:
    """The figures of the container whose `cgroup.payload` this is; all empty when it has gone."""
    processes = _number(_file(groups, "pids", "pids.current", "pids.current"))
    return Figures(_processors(groups), _disks(groups), _memory(groups), processes)


def _processors(groups: Mapping[str, Path]) -> list[Processor]:
    if "cpuacct" in groups:
        rows = [line.split() for line in _text(groups["cpuacct"] / "cpuacct.usage_all").splitlines()[1:]]
        return [Processor(number, int(user), int(system)) for number, user, system in rows]
    spent = _pairs(_file(groups, "", "", "cpu.stat"))
    if "user_usec" not in spent:
        return []
    return [Processor("0", spent["user_usec"] * 1000, spent["system_usec"] * 1000)]


def _memory(groups: Mapping[str, Path]) -> dict[str, int]:
    is_v1 = "memory" in groups
    stat = _pairs(_file(groups, "memory", "memory.stat", "memory.stat"))
    if not stat:
        return {}
    if not is_v1:
        stat["swap"] = _number(_file(groups, "memory", "", "memory.swap.current")) or 0
    found = {name: stat[words[not is_v1]] for name, words in _MEMORY.items() if words[not is_v1] in stat}
    found["Active"] = found.get("Active_anon", 0) + found.get("Active_file", 0)
    found["Inactive"] = found.get("Inactive_anon", 0) + found.get("Inactive_file", 0)
    used = _number(_file(groups, "memory", "memory.usage_in_bytes", "memory.current")) or 0
    limit = _number(_file(groups, "memory", "memory.limit_in_bytes", "memory.max"))
    found["MemTotal"] = min(limit, host_memory()) if limit is not None else host_memory()
    found["MemFree"] = max(0, found["MemTotal"] - used)
    found["MemAvailable"] = min(found["MemTotal"], found["MemFree"] + found.get("Cached", 0))
    return {**found, **_huge_pages(groups)}


def _huge_pages(groups: Mapping[str, Path]) -> dict[str, int]:
    """What pages of all sizes may be used and are not, where somebody set a limit."""
    total = free = 0
    for size in huge_page_sizes():
        limit = _number(_file(groups, "hugetlb", f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.max"))
        used = _number(_file(groups, "hugetlb", f"hugetlb.{size}.usage_in_bytes", f"hugetlb.{size}.current"))
        if limit is not None and used is not None and limit < host_memory():
            total, free = total + limit, free + max(0, limit - used)
    return {"HugepagesTotal": total, "HugepagesFree": free} if total else {}


def _disks(groups: Mapping[str, Path]) -> list[Disk]:
    found: dict[str, dict[str, int]] = {}
    if "blkio" in groups:
        for kind, file in (("bytes", "io_service_bytes"), ("ios", "io_serviced")):
            for line in _text(groups["blkio"] / f"blkio.throttle.{file}_recursive").splitlines():
                words = line.split()
                if len(words) == 3 and words[1] in ("Read", "Write"):
                    found.setdefault(words[0], {})[f"{words[1][0].lower()}{kind}"] = int(words[2])
    else:
        for line in _file(groups, "", "", "io.stat").splitlines():
            number, *words = line.split()
            found[number] = {key: int(count) for key, _, count in (word.partition("=") for word in words)}
    disks = [
        Disk(
            _device(number),
            count.get("rbytes", 0),
            count.get("wbytes", 0),
            count.get("rios", 0),
            count.get("wios", 0),
        )
        for number, count in found.items()
    ]
    return [disk for disk in disks if disk.name]


def _device(number: str) -> str:
    major, _, minor = number.partition(":")
    return fsinfo.device_of(os.makedev(int(major), int(minor))).removeprefix("/dev/")


@lru_cache(maxsize=1)
def host_memory() -> int:
    """Bytes of memory that the host has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _file(groups: Mapping[str, Path], controller: str, v1: str, v2: str) -> str:
    """The text of a file in the hierarchy that has the controller, "" without one."""
    if controller in groups and controller:
        return _text(groups[controller] / v1)
    return _text(groups[""] / v2) if "" in groups else ""


def _text(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _LARGEST).decode()
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _number(text: str) -> int | None:
    word = text.strip()
    return int(word) if word.isdecimal() else None


def _pairs(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}
