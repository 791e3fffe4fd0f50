"""limits.read, limits.write and limits.max of disks, as limits of the block devices that they lie on.

Source: cgroup-v1/blkio-controller.rst, throttle.*_device; cgroup-v2.rst, io.max.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lightervisor.runtime.settings.setting import Setting
from lightervisor.runtime.spec import Throttle

FILES_V1 = (
    ("blkio.throttle.read_bps_device", "rbps"),
    ("blkio.throttle.write_bps_device", "wbps"),
    ("blkio.throttle.read_iops_device", "riops"),
    ("blkio.throttle.write_iops_device", "wiops"),
)
FILE_V2 = "io.max"


def settings(throttles: Iterable[Throttle], *, reset: bool = False) -> list[Setting]:
    """The values for each device; with `reset` those too that lift a limit."""
    found: list[Setting] = []
    for one in throttles:
        values = one.limits()
        for (file, _), value in zip(FILES_V1, values, strict=True):
            if value or reset:
                found.append(Setting(file, "", f"{one.device} {value}", ""))
        words = [f"{word}={value or 'max'}" for (_, word), value in zip(FILES_V1, values, strict=True)]
        found.append(Setting("", FILE_V2, "", " ".join([one.device, *words])))
    return found


def changes(after: Sequence[Throttle], present: Iterable[str]) -> list[tuple[Setting, bool]]:
    """What a running container must be told, each with whether it is a limit; `present` are the devices limited now."""
    gone = set(present) - {one.device for one in after}
    lifted = settings([Throttle(device) for device in sorted(gone)], reset=True)
    return [(one, False) for one in lifted] + [(one, True) for one in settings(after, reset=True)]


def present(groups: Mapping[str, Path]) -> set[str]:
    """The devices that have a limit in these cgroups."""
    files = [groups["blkio"] / file for file, _ in FILES_V1] if "blkio" in groups else []
    files += [groups[""] / FILE_V2] if "" in groups else []
    found: set[str] = set()
    for file in files:
        with contextlib.suppress(OSError):
            found.update(line.split()[0] for line in file.read_text().splitlines() if line.strip())
    return found
