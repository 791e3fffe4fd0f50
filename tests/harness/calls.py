"""Tiny programs for x86_64 that make a system call or more and end with the last one's error number, 0 for none.

What busybox has no command for is asked of the kernel from inside a container with these. Source: elf(5), the
instruction set's manual, Linux' system call convention.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Sequence

import pytest

Argument = int | bytes | Sequence[bytes]

BASE, HEADERS = 0x400000, 120
REGISTERS = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9")  # mov $, rdi … r9
# mov %eax,%edi; neg %edi; jns over; xor %edi,%edi; over: mov $60,%eax; syscall
END = b"\x89\xc7\xf7\xdf\x79\x02\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"
OPEN, EXECVE, MKNOD, SETXATTR, MOUNT, BPF, SCHED_SETSCHEDULER = 2, 59, 133, 188, 165, 321, 144

needs_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the programs are for x86_64")


def _elf(code: bytes, data: bytes, base: int = BASE) -> bytes:
    size = HEADERS + len(code) + len(data)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 7, 0, base, base, size, size, 4096) + code + data


class _Memory:
    """What a program's arguments refer to, behind its code."""

    def __init__(self, start: int) -> None:
        self.data, self._start = b"", start

    def place(self, argument: Argument) -> int:
        """What is passed for an argument: a number, or the address of bytes or of a list of strings."""
        if isinstance(argument, int):
            return argument & 0xFFFFFFFFFFFFFFFF
        if not isinstance(argument, bytes):
            argument = b"".join(struct.pack("<Q", self.place(one)) for one in argument) + bytes(8)
        address = self._start + len(self.data)
        self.data += argument + bytes(-len(argument) % 8)
        return address


def program(number: int, *arguments: Argument) -> bytes:
    """The program that calls `number`; bytes are put into its memory and their address is passed."""
    return sequence((number, *arguments))


def sequence(*calls: tuple[Argument, ...], base: int = BASE) -> bytes:
    """The program that makes these calls, each a number and its arguments, one after the other, at this address."""
    length = sum(10 * (len(call) - 1) + 7 for call in calls) + len(END)
    memory, code = _Memory(base + HEADERS + length), b""
    for number, *arguments in calls:
        assert isinstance(number, int)
        for register, argument in zip(REGISTERS, arguments, strict=False):
            code += register + struct.pack("<Q", memory.place(argument))
        code += b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"
    return _elf(code + END, memory.data, base)


def compat(number: int) -> bytes:
    """The program that calls `number` of 32-bit Linux by the 32-bit entry, without arguments."""
    return _elf(b"\xb8" + struct.pack("<I", number) + b"\x31\xdb\xcd\x80" + END, b"")


def string(text: str) -> bytes:
    """A string as a program's memory has it."""
    return text.encode() + b"\0"
