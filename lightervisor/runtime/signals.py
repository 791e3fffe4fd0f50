"""Which signal asks an init to stop. Source: liblxc, lxc.signal.halt; systemd(1), SIGNALS."""

import re
import signal
from collections.abc import Mapping

from lightervisor.kernel import pidfd

RTMIN = 34  # the kernel's 32, and two that libc keeps for itself
HALT = re.compile(r"^\s*lxc\.signal\.halt\s*=\s*(\S+)", re.MULTILINE)


def halt(pid: int, config: Mapping[str, str]) -> int:
    """What raw.lxc names, else SIGRTMIN+3 for an init that waits for it (systemd), else SIGPWR."""
    found = HALT.findall(config.get("raw.lxc", ""))
    if found and (number := parse(found[-1])) is not None:
        return number
    fields = pidfd.status(pid)
    bit = 1 << (RTMIN + 3 - 1)
    if any(int(fields.get(name, "0"), 16) & bit for name in ("SigBlk", "SigCgt")):
        return RTMIN + 3
    return signal.SIGPWR


def parse(text: str) -> int | None:
    """The number of "SIGPWR", "PWR", "30" or "SIGRTMIN+3"; None for anything else."""
    word = text.upper().removeprefix("SIG")
    if word.isdecimal():
        return int(word) if 0 < int(word) <= 64 else None
    if match := re.fullmatch(r"RTM(IN\+|AX-)(\d{1,2})", word):
        number = RTMIN + int(match[2]) if match[1] == "IN+" else 64 - int(match[2])
        return number if RTMIN <= number <= 64 else None
    return int(signal.Signals["SIG" + word]) if "SIG" + word in signal.Signals.__members__ else None
