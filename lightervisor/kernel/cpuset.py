"""Sets of CPUs: the kernel's list format, which ones containers may get, and pinning a cgroup to some.

Source: cpusets(7), Documentation/admin-guide/cgroup-v1/cpusets.rst, cgroup-v2.rst.
"""

import collections
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from lightervisor.kernel import cgroup, deep_walk
from lightervisor.kernel.sysfs import SYS, text


def parse(text_of: str) -> set[int]:
    """The numbers of a kernel list such as `0-3,8`."""
    found: set[int] = set()
    for part in text_of.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return found


def listed(cpus: Iterable[int]) -> str:
    """The kernel's list of these numbers."""
    return ",".join(map(str, sorted(cpus)))


def usable(sys: Path = SYS) -> set[int]:
    """The CPUs that containers may run on: online, not isolated from the scheduler, and in the daemon's own cpuset."""
    root = sys / "devices/system/cpu"
    cpus = parse(text(root / "online")) - parse(text(root / "isolated"))
    groups = cgroup.directories(os.getpid())
    for controller, name in (("cpuset", "cpuset.effective_cpus"), ("", "cpuset.cpus.effective")):
        if controller in groups and (own := parse(text(groups[controller] / name))):
            return cpus & own or cpus
    return cpus


def chosen(groups: Mapping[str, Path]) -> set[int] | None:
    """The CPUs that a container's cgroup is set to; None where it follows the one above it, or has ended."""
    group = groups.get("cpuset") or groups.get("")
    found = text(group / "cpuset.cpus") if group is not None else ""
    return parse(found) if found or "cpuset" in groups else None


def pin(group: Path, value: str) -> None:
    """Move a v1 cpuset and those that the guest made below it, as each must hold those of its children.

    Children that had all CPUs get all; the others what is left to them, or all when nothing is. Raises OSError.
    """
    opened = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _pin(opened, parse(value))
    finally:
        os.close(opened)


def _pin(group: int, wanted: set[int]) -> None:
    before = _cpus(group)
    targets: dict[int, set[int]] = {}
    is_top = True
    for child, _ in deep_walk.walk(group):
        now = _cpus(child)
        if is_top:
            _put(child, wanted | before)
        elif now:
            target = wanted if now == before else now & wanted or wanted
            targets[os.fstat(child).st_ino] = target
            _put(child, now | target)
        is_top = False

    def narrow(directory: int, name: str) -> None:
        child = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            if target := targets.get(os.fstat(child).st_ino):
                _put(child, target)
        finally:
            os.close(child)

    collections.deque(deep_walk.walk(group, narrow), maxlen=0)
    _put(group, wanted)


def _cpus(group: int) -> set[int]:
    return parse(_file(group).read_text())


def _put(group: int, cpus: set[int]) -> None:
    cgroup.put(_file(group), listed(cpus))


def _file(group: int) -> Path:
    return Path(f"/proc/self/fd/{group}/cpuset.cpus")
