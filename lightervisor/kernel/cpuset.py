"""Sets of CPUs: the kernel's list format, which ones containers may get, and pinning a cgroup to some.

Source: cpusets(7), Documentation/admin-guide/cgroup-v1/cpusets.rst, cgroup-v2.rst.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from lightervisor.kernel import cgroup
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


def pin(group: Path, value: str) -> None:
    """Move a v1 cpuset and those that the guest made below it, as each must hold those of its children.

    Children that had all CPUs get all; the others what is left to them, or all when nothing is. Raises OSError.
    """
    wanted, before = parse(value), parse((group / "cpuset.cpus").read_text())
    below = [Path(place) for place, _, _ in os.walk(group)][1:]
    if below:
        cgroup.put(group / "cpuset.cpus", listed(wanted | before))
    targets: dict[Path, set[int]] = {}
    for child in below:
        now = parse((child / "cpuset.cpus").read_text())
        if now:
            targets[child] = wanted if now == before else now & wanted or wanted
            cgroup.put(child / "cpuset.cpus", listed(now | targets[child]))
    for child in reversed(targets):
        cgroup.put(child / "cpuset.cpus", listed(targets[child]))
    cgroup.put(group / "cpuset.cpus", listed(wanted))
