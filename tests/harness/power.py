"""What a power cut and a boot do to a host, for one daemon: nothing runs, nothing is mounted, no link is there."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from tests.harness import leaks, processes
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually


def cut(daemon: Daemon) -> None:
    """End the daemon and all that it started at once, and take away what the kernel would have forgotten."""
    names = daemon.instance_names()
    inits = [daemon.request("GET", f"/1.0/instances/{name}/state").metadata["pid"] for name in names]
    inits = [pid for pid in inits if pid > 0]
    monitors = [_parent(pid) for pid in inits]
    servers = [int(path.read_text()) for path in daemon.state.glob("networks/*/dnsmasq.pid")]
    daemon.kill()
    _end([*monitors, *inits, *servers])  # monitors first: they must not tidy up
    for place in reversed(leaks.mounts_below(daemon.state)):
        processes.run(["umount", "--lazy", place]).ok()
    for path in daemon.state.glob("networks/*"):
        processes.run(["ip", "link", "delete", path.name]).ok()
    for name in names:
        leaks.remove_cgroups(name)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _end(pids: Iterable[int]) -> None:
    pids = list(pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        eventually(lambda pid=pid: not is_alive(pid), what=f"process {pid} to end")


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
