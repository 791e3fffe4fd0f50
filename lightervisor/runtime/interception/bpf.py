"""bpf: programs of device cgroups (BPF_PROG_TYPE_CGROUP_DEVICE), which systemd and runc write on cgroup v2.

They only take away: the kernel asks those of the groups above as well. Any other program goes to the kernel, which
refuses it. Source: bpf(2), linux/bpf.h.
"""

import ctypes
import os
import struct
from collections.abc import Mapping
from typing import Any

from lightervisor.kernel import syscalls
from lightervisor.runtime.interception.caller import CAP_SYS_ADMIN, Caller, may_write
from lightervisor.runtime.interception.messages import GOES_ON, Call, Outcome

LOAD, ATTACH, DETACH = 5, 8, 9
CGROUP_DEVICE_PROGRAM, CGROUP_DEVICE = 15, 6
ALLOWED_FLAGS = 1 | 2  # may be overridden, or joined by others, further below
CGROUP2 = 0x63677270
LONGEST_PROGRAM, INSTRUCTION = 4096, 8
_PIDFD_GETFD = 438
_NUMBERS = {"x86_64": 321, "aarch64": 280}
_libc = ctypes.CDLL(None, use_errno=True)


def bpf(call: Call, permits: Mapping[str, Any]) -> Outcome:
    """bpf(command, attributes, size)."""
    command, address, size = call.integer(0), *call.arguments[1:3]
    attributes = call.read(address, min(size, 128)).ljust(128, b"\0")
    caller = Caller(call)
    if not caller.has(CAP_SYS_ADMIN) or not caller.is_of_container("user"):
        return GOES_ON
    if command == LOAD:
        return _load(call, attributes)
    return _attach(call, caller, command, attributes)


CALLS = {"bpf": bpf}


def _load(call: Call, attributes: bytes) -> Outcome:
    kind, count, instructions_at, license_at = struct.unpack_from("=IIQQ", attributes)
    if kind != CGROUP_DEVICE_PROGRAM or not 0 < count <= LONGEST_PROGRAM:
        return GOES_ON
    instructions = ctypes.create_string_buffer(call.read(instructions_at, count * INSTRUCTION))
    words = ctypes.create_string_buffer(call.string(license_at, 128))
    ours = struct.pack("=IIQQ", kind, count, ctypes.addressof(instructions), ctypes.addressof(words))
    program = _bpf(LOAD, ours)
    try:
        return Outcome(call.give(program))
    finally:
        os.close(program)


def _attach(call: Call, caller: Caller, command: int, attributes: bytes) -> Outcome:
    target, program, kind, flags, replaced = struct.unpack_from("=5I", attributes)
    if kind != CGROUP_DEVICE or flags & ~ALLOWED_FLAGS or replaced:
        return GOES_ON
    process = os.pidfd_open(caller.process_id)
    call.check()
    group = _copied(process, target)
    if syscalls.file_system_magic(f"/proc/self/fd/{group}") != CGROUP2:
        return GOES_ON

    def look(_: int) -> "list[int]":
        may_write(group)
        return [group]

    caller.find(look)
    # Detaching needs none, but takes away what was attached to that group with the same program only.
    given = _copied(process, program) if program else 0
    call.check()
    _bpf(command, struct.pack("=5I", group, given, kind, flags, 0))
    return Outcome()


def _copied(process: int, number: int) -> int:
    """A copy of a descriptor of another process. Source: pidfd_getfd(2)."""
    return _checked(_libc.syscall(ctypes.c_long(_PIDFD_GETFD), process, number, 0))


def _bpf(command: int, attributes: bytes) -> int:
    attributes = attributes.ljust(128, b"\0")
    number = _NUMBERS[os.uname().machine]
    return _checked(_libc.syscall(ctypes.c_long(number), command, attributes, len(attributes)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
