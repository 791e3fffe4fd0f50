"""Makes sure that an lxcfs runs, so that containers see their own CPUs, memory and uptime. Source: lxcfs(1).

The distribution's own is used where it runs. Else one is started on a directory of ours, shared by all daemons of
the host. It outlives the daemon on purpose: containers hold binds of its files, which fail when it ends.
"""

import errno
import logging
import shutil
import time
from pathlib import Path

from lightervisor.errors import HostError
from lightervisor.kernel import mounts, process

PACKAGED = Path("/var/lib/lxcfs")
# Not /run/lxcfs: lxcfs keeps things there, and a mount on it would keep the packaged one from starting.
OWN = Path("/run/lxcfs-own")
START_S = 10.0
log = logging.getLogger(__name__)


def ensure(packaged: Path = PACKAGED, own: Path = OWN) -> Path | None:
    """The directory of an lxcfs that runs, started if need be; None, told in the log, when there can be none."""
    for place in (packaged, own):
        if is_served(place):
            return place
    if shutil.which("lxcfs") is None:
        log.warning("lxcfs is not installed: containers see the host's CPUs and memory (apt install lxcfs)")
        return None
    try:
        own.mkdir(mode=0o755, parents=True, exist_ok=True)
        # setsid gives it away to the host's init: it must not end with us.
        starter = process.spawn(["setsid", "--fork", "lxcfs", own, "--pidfile", own.with_suffix(".pid")])
        starter.wait()
    except (HostError, OSError) as error:
        log.warning("lxcfs could not be started, containers see the host's CPUs and memory: %s", error)
        return None
    return own if _comes_up(own) else None


def _comes_up(place: Path) -> bool:
    deadline = time.monotonic() + START_S
    while not is_served(place):
        if time.monotonic() > deadline:
            log.warning("lxcfs did not come up on %s, containers see the host's CPUs and memory", place)
            return False
        time.sleep(0.01)  # it tells nobody when it has mounted
    return True


def is_served(place: Path) -> bool:
    """Whether an lxcfs answers there; the mount of one that has died is taken away."""
    try:
        (place / "proc/meminfo").stat()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            mounts.umount(place)
        return False
    return True
