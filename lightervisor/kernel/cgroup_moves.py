"""Moves of processes between cgroups without the wait that the first one costs.

Forks and exits take the kernel's lock of all moves without a write to shared memory. For that, whoever moves a process
waits for a grace period of RCU first, 8 ms as measured, unless another move ended less than such a period ago. Whoever
knows that liblxc is about to move a process has the wait begin meanwhile.
Source: kernel/cgroup/cgroup.c, cgroup_attach_lock; kernel/rcu/sync.c.
"""

import asyncio
import os
import threading
from contextlib import suppress

from lightervisor.kernel import cgroup

_ONE = threading.Lock()


def expect() -> None:
    """Have the kernel prepare for a move, on a thread; nothing waits for it, and nothing depends on it."""
    if not _ONE.locked():
        asyncio.get_running_loop().run_in_executor(None, _move_nowhere)


def _move_nowhere() -> None:
    """Move this process to where it is."""
    if _ONE.acquire(blocking=False):
        try:
            groups = cgroup.directories(os.getpid())
            group = groups.get("") or next(iter(groups.values()), None)
            if group is not None:
                with suppress(OSError):  # a daemon inside a container may have no right to
                    (group / "cgroup.procs").write_text("0")
        finally:
            _ONE.release()
