"""sched_setscheduler: real time and the like for processes of the container, asked for by its root.

Source: sched_setscheduler(2), pid_namespaces(7); LXD.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from typing import Any

from lightervisor.runtime.interception.caller import CAP_SYS_NICE, Caller
from lightervisor.runtime.interception.messages import GOES_ON, Call, Outcome, failed

_libc = ctypes.CDLL(None, use_errno=True)


def sched_setscheduler(call: Call, permits: Mapping[str, Any]) -> Outcome:
    """sched_setscheduler(pid, policy, parameters)."""
    pid, policy = call.integer(0), call.integer(1)
    parameters = call.read(call.arguments[2], 4)
    caller = Caller(call)
    if pid < 0 or not caller.has(CAP_SYS_NICE) or not caller.is_of_container("user", "pid"):
        return GOES_ON
    call.check()
    if pid == 0:
        return _set(call.pid, policy, parameters)
    # The number means something in its own namespace alone: a child of ours there makes the call.
    namespace = caller.namespace("pid")
    ours, theirs = os.pipe()
    if _libc.setns(namespace, 0) < 0:
        return failed(ctypes.get_errno())
    child = os.fork()
    if child == 0:
        try:
            os.write(theirs, struct.pack("=i", _set(pid, policy, parameters).error))
        finally:
            os._exit(0)
    os.close(theirs)
    told = os.read(ours, 4)
    os.waitpid(child, 0)
    return Outcome(error=struct.unpack("=i", told)[0]) if told else failed(errno.EPERM)


CALLS = {"sched_setscheduler": sched_setscheduler}


def _set(pid: int, policy: int, parameters: bytes) -> Outcome:
    if _libc.sched_setscheduler(pid, policy, parameters) < 0:
        return failed(ctypes.get_errno())
    return Outcome()
