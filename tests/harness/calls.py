"""Tiny programs for x86_64 that make one system call and end with its error number (0 when it succeeds).

What busybox has no command for is asked of the kernel from inside a container with these. Source: elf(5), the
instruction set's manual, Linux' system call convention.
"""

from __future__ import annotations

import platform
import struct

import pytest

BASE, HEADERS = 0x400000, 120
REGISTERS = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9")  # mov $, rdi … r9
# mov %eax,%edi; neg %edi; jns over; xor %edi,%edi; over: mov $60,%eax; syscall
END = b"\x89\xc7\xf7\xdf\x79\x02\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"
MKNOD, SETXATTR, MOUNT, BPF, SCHED_SETSCHEDULER = 133, 188, 165, 321, 144

needs_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the programs are for x86_64")


def _elf(code: bytes, data: bytes) -> bytes:
    size = HEADERS + len(code) + len(data)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 7, 0, BASE, BASE, size, size, 4096) + code + data


def program(number: int, *arguments: int | bytes) -> bytes:
    """The program that calls `number`; bytes are put into its memory and their address is passed."""
    length = 10 * len(arguments) + 7 + len(END)
    data, code = b"", b""
    for register, argument in zip(REGISTERS, arguments, strict=False):
        if isinstance(argument, bytes):
            value = BASE + HEADERS + length + len(data)
            data += argument + bytes(-len(argument) % 8)
        else:
            value = argument & 0xFFFFFFFFFFFFFFFF
        code += register + struct.pack("<Q", value)
    code += b"\xb8" + struct.pack("<I", number) + b"\x0f\x05" + END
    return _elf(code, data)


def compat(number: int) -> bytes:
    """The program that calls `number` of 32-bit Linux by the 32-bit entry, without arguments."""
    return _elf(b"\xb8" + struct.pack("<I", number) + b"\x31\xdb\xcd\x80" + END, b"")


def string(text: str) -> bytes:
    """A string as a program's memory has it."""
    return text.encode() + b"\0"
