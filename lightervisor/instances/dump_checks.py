"""What keeps criu from writing down the processes of a container, found by looking alone: nothing is stopped for it.

Source: criu's page "What cannot be checkpointed"; proc(5).
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lightervisor.config.confinement_keys import INTERCEPT
from lightervisor.config.merge import Expanded
from lightervisor.config.types import is_true
from lightervisor.errors import Failure
from lightervisor.kernel import cgroup, pidfd
from lightervisor.runtime import criu

ALONE = ("ipc", "pid", "uts", "user")
MEMORY_DEVICES, TTY, PTMX, MISC, TUN = 1, 5, 2, 10, 200
PTY_SLAVES = range(136, 144)
ONLY_V2 = Path("/sys/fs/cgroup/cgroup.controllers")
NO_CONSOLE = "lxc.console.path = none"


def blockers(
    name: str, container: str, init_pid: int, expanded: Expanded, lines: str, *, is_revived: bool
) -> list[str]:
    """Why a running instance cannot be dumped; none when criu may try. `lines` are those that it was started with.

    `is_revived` says that it was restored. Blocking; reads /proc.
    """
    found: list[str] = []
    if is_revived and ONLY_V2.exists():
        cause = "its processes were brought back, and liblxc does not find the freezer of such a one on cgroup v2"
        found.append(f"{cause}: lxc restart {name}")
    try:
        criu.check()
    except Failure as failure:
        found.append(failure.message())
    if NO_CONSOLE not in lines.splitlines():
        remedy = f"lxc config set {name} migration.stateful=true && lxc restart {name}"
        found.append(f"it was started with a console, whose other end is not in it: {remedy}")
    found += [f"{key} is on: criu cannot keep what waits for an answer" for key in _intercepted(expanded.config)]
    found += _of_devices(name, expanded, lines)
    pids = sorted(cgroup.processes(cgroup.payload(init_pid, container).values()))
    for pid in pids:
        try:
            found += _of_process(pid, init_pid, set(pids))
        except (OSError, ValueError):  # it has ended
            continue
    return found


def _intercepted(config: Mapping[str, str]) -> Iterator[str]:
    return (key for key, value in sorted(config.items()) if key.startswith(INTERCEPT) and is_true(value))


def _of_devices(name: str, expanded: Expanded, lines: str) -> Iterator[str]:
    shown = {line.split()[3] for line in lines.splitlines() if line.startswith("lxc.mount.entry = ")}
    for device, options in sorted(expanded.devices.items()):
        kind = options.get("type", "")
        if kind in ("gpu", "infiniband", "tpm"):
            yield f"device {device}: criu cannot keep what a device of type {kind} holds"
        path = options.get("path", "")
        if kind == "disk" and path not in ("", "/") and path.strip("/").replace(" ", "\\040") not in shown:
            yield f"device {device}: it was plugged in since the start (lxc restart {name})"


def _of_process(pid: int, init_pid: int, pids: set[int]) -> Iterator[str]:
    status = pidfd.status(pid)
    if not status:
        return
    who = f"process {status['Name']} ({status['NSpid'].split()[-1]})"
    if pid != init_pid and int(status["PPid"]) not in pids:
        yield f"{who} was started from outside, by lxc exec for instance: end it first"
        return
    for kind in ALONE:
        if _namespace(pid, kind) != _namespace(init_pid, kind):
            yield f"{who} has a {kind} namespace of its own"
    yield from _of_files(pid, who)


def _namespace(pid: int, kind: str) -> Path:
    return Path(f"/proc/{pid}/ns/{kind}").readlink()


def _of_files(pid: int, who: str) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = entry.stat()
        except OSError:
            continue
        if stat.S_ISBLK(found.st_mode) or (stat.S_ISCHR(found.st_mode) and not _is_known(found.st_rdev)):
            yield f"{who} has the device {entry.readlink()} open"


def _is_known(device: int) -> bool:
    major, minor = os.major(device), os.minor(device)
    return major in (MEMORY_DEVICES, TTY, *PTY_SLAVES) or (major, minor) == (MISC, TUN)


def told(found: Iterable[str]) -> str:
    """All of them in one line."""
    return "; ".join(found)
