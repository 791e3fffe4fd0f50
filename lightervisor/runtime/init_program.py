"""The init of a container before it is started: can this machine run it?

liblxc cannot tell: libc's execvp gives a program that the kernel refuses to a shell, which ends at once.
Source: execvp(3), elf(5), binfmt_misc in the kernel's admin-guide.
"""

import os
import re
from pathlib import Path

from lightervisor.kernel import paths
from lightervisor.runtime.spec import ContainerSpec

DEFAULT = "/sbin/init"
COMMAND = re.compile(r"^\s*lxc\.init\.cmd\s*=\s*(\S+)", re.MULTILINE)
HANDLERS = Path("/proc/sys/fs/binfmt_misc")
ELF = b"\x7fELF"
HEADER = 256  # as much as the kernel looks at
MACHINES = {"x86_64": (62, 3), "aarch64": (183, 40), "ppc64le": (21,), "s390x": (22,), "riscv64": (243,)}


def refusal(spec: ContainerSpec) -> str:
    """Why this machine cannot run the container's init, empty when it can or when liblxc will say it better."""
    program = _program(spec)
    try:
        header = _header(spec.rootfs, program)
    except OSError:
        return ""
    if not header.startswith(ELF) or is_ours(header, os.uname().machine) or _has_handler(header):
        return ""
    return f"the image's init {program} is for another architecture"


def missing_interpreter(spec: ContainerSpec) -> str:
    """Why an init that is there was not found: the program that its first line names is not there; else empty.

    To be asked after a failed start only: before it, what devices bring into the container is not there yet.
    """
    program = _program(spec)
    try:
        first, _, _ = _header(spec.rootfs, program).partition(b"\n")
        words = first.removeprefix(b"#!").split()
        if not first.startswith(b"#!") or not words or paths.exists(spec.rootfs, os.fsdecode(words[0]), follow=True):
            return ""
    except OSError:
        return ""
    return f"the image's init {program} wants {os.fsdecode(words[0])}, which does not exist"


def _program(spec: ContainerSpec) -> str:
    found = COMMAND.findall(spec.config.get("raw.lxc", ""))
    return found[-1] if found else DEFAULT


def is_ours(header: bytes, machine: str) -> bool:
    """Whether an ELF header is one of programs that a kernel for `machine`, as uname(2) names it, runs by itself."""
    if len(header) < 20 or header[4] not in (1, 2) or header[5] not in (1, 2):
        return False
    order = "little" if header[5] == 1 else "big"
    return machine not in MACHINES or int.from_bytes(header[18:20], order) in MACHINES[machine]


def matches(handler: str, header: bytes) -> bool:
    """Whether a handler, as /proc/sys/fs/binfmt_misc shows it, takes programs with this header."""
    fields = {name: value for name, _, value in (line.partition(" ") for line in handler.splitlines())}
    if "enabled" not in fields or "magic" not in fields:
        return False
    magic, start = bytes.fromhex(fields["magic"]), int(fields.get("offset", "0"))
    mask = bytes.fromhex(fields["mask"]) if "mask" in fields else b"\xff" * len(magic)
    part = header[start : start + len(magic)]
    return len(part) == len(magic) and all((a ^ b) & m == 0 for a, b, m in zip(part, magic, mask, strict=True))


def _header(rootfs: Path, program: str) -> bytes:
    descriptor = paths.open_beneath(rootfs, program, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        return os.read(descriptor, HEADER)
    finally:
        os.close(descriptor)


def _has_handler(header: bytes) -> bool:
    try:
        handlers = [entry for entry in HANDLERS.iterdir() if entry.name not in ("register", "status")]
        return any(matches(handler.read_text(), header) for handler in handlers)
    except OSError:  # binfmt_misc is not mounted here
        return False
