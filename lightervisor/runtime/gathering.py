"""The cgroup of v2 that processes are in after criu has brought them back."""

import contextlib
import os
from pathlib import Path

from lightervisor.kernel import cgroup

PAYLOAD, MONITOR = "lxc.payload.", "lxc.monitor."


def gather(init_pid: int, monitor_pid: int) -> None:
    """Bring restored processes into the cgroup of v2 that their monitor has made for them. Blocking.

    criu puts them where they were when they were dumped, maybe by another name; on v1 liblxc can tell it another place.
    """
    found, monitor = (cgroup.directories(pid).get("") for pid in (init_pid, monitor_pid))
    if found is None or monitor is None or not monitor.name.startswith(MONITOR):
        return
    target = monitor.with_name(PAYLOAD + monitor.name.removeprefix(MONITOR))
    former = cgroup.payload(init_pid, "").get("")
    if former is None or former == target or not target.is_dir():
        return
    while waiting := [
        (pid, path)
        for pid in family(init_pid)
        if (path := cgroup.directories(pid).get("")) and path.is_relative_to(former)
    ]:
        for pid, path in waiting:
            place = target / path.relative_to(former)
            if not place.is_dir():
                place.mkdir(parents=True)
                os.chown(place, path.stat().st_uid, path.stat().st_gid)
            with contextlib.suppress(ProcessLookupError):
                cgroup.put(place / "cgroup.procs", str(pid))
    cgroup.remove([former], patience_s=0)  # one that is being moved away may still be in it


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [below for child in thread.read_text().split() for below in family(int(child))]
    return found
