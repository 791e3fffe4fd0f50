"""Architectures: LXD's names and numbers, what else they are called, and which of them this host runs.

Source: LXD, shared/osarch; personality(2) for the second ones.
"""

import os

from lightervisor.errors import Invalid

NUMBERS = {
    "i686": 1, "x86_64": 2, "armv7l": 3, "aarch64": 4, "ppc": 5, "ppc64": 6, "ppc64le": 7, "s390x": 8,
    "mips": 9, "mips64": 10, "riscv32": 11, "riscv64": 12, "armv6l": 13, "armv8l": 14,
}  # fmt: skip
_OTHER_WORDS = {
    "i686": ("i386", "i586"), "x86_64": ("amd64",), "armv7l": ("armhf", "armel"), "aarch64": ("arm64",),
    "ppc": ("powerpc",), "ppc64": ("powerpc64",), "ppc64le": ("ppc64el",), "mips": ("mipsel", "mipsle"),
    "mips64": ("mips64el", "mips64le"),
}  # fmt: skip
_NAME_OF = {word: name for name in NUMBERS for word in (name, *_OTHER_WORDS.get(name, ()))}
_SECOND = {"x86_64": ("i686",), "aarch64": ("armv7l",)}


def name_of(word: str) -> str:
    """The kernel's name of an architecture, given by that or by a distribution's. Raises Invalid with LXD's text."""
    found = _NAME_OF.get(word)
    if found is None:
        text = f"Architecture isn't supported: {word[:64]}"
        raise Invalid("architecture", word[:64], text=text, remedy=f"known are: {', '.join(NUMBERS)}")
    return found


def own() -> str:
    """This host's."""
    machine = os.uname().machine
    return _NAME_OF.get(machine, machine)


def runnable() -> list[str]:
    """Those whose programs this host runs, its own first."""
    return [own(), *_SECOND.get(own(), ())]
