"""sysinfo: memory, swap, processes and uptime of the container instead of the host's.

What lxcfs shows in /proc, for programs that ask the kernel: busybox's free and uptime. Source: sysinfo(2); cgroups(7).
"""

import ctypes
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightervisor.kernel import cgroup
from lightervisor.runtime.interception.messages import GOES_ON, Call, Outcome

LAYOUT = struct.Struct("=q3Q6QHxxxxxx2QI4x")  # of 64-bit machines
_libc = ctypes.CDLL(None, use_errno=True)


def sysinfo(call: Call, permits: Mapping[str, Any]) -> Outcome:
    """sysinfo(info)."""
    buffer = ctypes.create_string_buffer(LAYOUT.size)
    groups = cgroup.payload(call.init_pid, call.container)
    if not groups or _libc.sysinfo(buffer) < 0:
        return GOES_ON
    (_, load1, load5, load15, total, free, shared, buffered, swap, swap_free, _, high, high_free, unit) = LAYOUT.unpack(
        buffer.raw
    )
    total, free, swap, swap_free = total * unit, free * unit, swap * unit, swap_free * unit
    usage = cgroup.usage(groups)
    limit = _limit(groups, "memory", "memory.limit_in_bytes", "memory.max")
    if limit is not None and limit < total:
        total = limit
        free = min(free, max(limit - usage.memory, 0))
        shared = buffered = 0
    else:
        shared, buffered = shared * unit, buffered * unit
    swap_limit = _swap_limit(groups, limit)
    if swap_limit is not None and swap_limit < swap:
        swap, swap_free = swap_limit, max(swap_limit - usage.swap, 0)
    seconds = max(int(time.clock_gettime(time.CLOCK_BOOTTIME) - _started(call.init_pid)), 0)
    processes = min(usage.processes, 0xFFFF)
    call.write(
        call.arguments[0],
        LAYOUT.pack(
            seconds, load1, load5, load15, total, free, shared, buffered, swap, swap_free, processes, high, high_free, 1
        ),
    )
    return Outcome()


CALLS = {"sysinfo": sysinfo}


def _limit(groups: Mapping[str, Path], controller: str, old: str, new: str) -> int | None:
    """The least limit on the way to the root, None without one."""
    group, name = (groups[controller], old) if controller in groups else (groups.get(""), new)
    found: int | None = None
    while group is not None and group != cgroup.ROOT and group != group.parent:
        try:
            text = (group / name).read_text().strip()
        except OSError:
            break
        if text.isdecimal() and (found is None or int(text) < found):
            found = int(text)
        group = group.parent
    return found


def _swap_limit(groups: Mapping[str, Path], memory: int | None) -> int | None:
    if "memory" in groups:
        both = _limit(groups, "memory", "memory.memsw.limit_in_bytes", "")
        return None if both is None or memory is None else max(both - memory, 0)
    return _limit(groups, "memory", "", "memory.swap.max")


def _started(pid: int) -> float:
    """When a process was started, in seconds since boot."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
