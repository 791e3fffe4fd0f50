"""Which programs a machine runs by itself, and which through a handler."""

from __future__ import annotations

import pytest

from lightervisor.runtime.init_program import is_ours, matches

# What Debian's qemu-user-static registers.
QEMU = """\
enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


def elf(machine: int, *, bits: int = 64, big_endian: bool = False) -> bytes:
    ident = b"\x7fELF" + bytes([bits // 32, 2 if big_endian else 1, 1]) + bytes(9)
    order = "big" if big_endian else "little"
    return ident + (2).to_bytes(2, order) + machine.to_bytes(2, order) + bytes(44)


@pytest.mark.parametrize(
    ("header", "machine", "expected"),
    [
        (elf(62), "x86_64", True),
        (elf(3, bits=32), "x86_64", True),
        (elf(183), "x86_64", False),
        (elf(40, bits=32), "aarch64", True),
        (elf(62), "aarch64", False),
        (elf(22, big_endian=True), "s390x", True),
        (elf(22, big_endian=True), "x86_64", False),
        (elf(5000), "a machine of the future", True),
        (b"\x7fELF nonsense and some more of it", "x86_64", False),
        (b"\x7fELF", "x86_64", False),
    ],
)
def test_programs_of_the_machine_are_known(header: bytes, machine: str, expected: bool) -> None:
    assert is_ours(header, machine) is expected


def test_a_handler_takes_what_its_magic_and_mask_describe() -> None:
    assert matches(QEMU, elf(183))
    assert not matches(QEMU, elf(62))
    assert not matches(QEMU, elf(183)[:10])
    assert not matches(QEMU.replace("enabled", "disabled"), elf(183))
    assert not matches("enabled\ninterpreter /usr/bin/wine\nextension .exe\n", elf(183))
