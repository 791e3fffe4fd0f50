"""No system calls but the native ones for this process and all that it starts: a seccomp filter of a few instructions.

On x86_64 it refuses the 32-bit entry (int 0x80, sysenter) and x32. liblxc cannot say this: rules of one architecture's
section hold for all of them. Standard library only, for the spawner too. Source: seccomp(2), linux/audit.h.
"""

import ctypes
import errno
import os
import struct

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE = 0, 4  # where they are in struct seccomp_data
_X32 = 0x40000000
NATIVE = {
    "x86_64": 0xC000003E, "aarch64": 0xC00000B7, "ppc64le": 0xC0000015, "s390x": 0x80000016, "riscv64": 0xC00000F3,
}  # fmt: skip


def refuse_others() -> None:
    """Answer "function not implemented" to every call that is not native, from now on. Raises OSError."""
    machine = os.uname().machine
    if machine not in NATIVE:
        raise OSError(errno.ENOTSUP, f"other calls than those of {machine} cannot be told apart")
    x32 = _X32 if machine == "x86_64" else 0
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, _ARCHITECTURE),
            (_JUMP_EQUAL, 0, 3, NATIVE[machine]),
            (_LOAD, 0, 0, _NUMBER),
            (_JUMP_SET, 1, 0, x32),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        )
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), filter_, 0, 0) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")
