"""The limits of instances and profiles. Source: LXD 5.0, instance configuration, limits.*."""

import re

from lightervisor.config import sizes
from lightervisor.config.key import INSTANCE, key
from lightervisor.config.types import (
    Bool,
    Checked,
    CpuSet,
    Int,
    Percentage,
    Size,
    any_of,
    matching,
    one_of,
    refuse,
)

RLIMITS = {
    "as": "Most bytes of address space of a process",
    "core": "Largest core dump in bytes",
    "cpu": "Most seconds of CPU time of a process",
    "data": "Most bytes of data of a process",
    "fsize": "Largest file in bytes",
    "locks": "Most file locks (no effect since Linux 2.4)",
    "memlock": "Most bytes locked in memory",
    "msgqueue": "Most bytes of POSIX message queues of a user",
    "nice": "How far a process may raise its nice value",
    "nofile": "Most open files of a process",
    "nproc": "Most processes of a user",
    "rss": "Most resident memory (no effect since Linux 2.4)",
    "rtprio": "Highest real-time priority",
    "rttime": "Most microseconds of CPU time without a pause under real-time scheduling",
    "sigpending": "Most queued signals of a user",
    "stack": "Largest stack in bytes",
}
HUGE_PAGES = ("64KB", "1MB", "2MB", "1GB")


def _check_priority(value: str) -> None:
    Int.check(value)
    if not 0 <= int(value) <= 10:
        raise refuse(f'Invalid value for a limit "{value}". Must be between 0 and 10')


def _check_memory(value: str) -> None:
    if re.fullmatch(r"0+%|0+", value):
        raise refuse(f"Memory limit can't be {value}")
    if value.endswith("%"):
        if not re.fullmatch(r"[0-9]{1,6}%", value):
            raise refuse(f"Invalid value: {value}")
    elif sizes.parse(value) == 0:
        raise refuse("Memory limit can't be 0")


def _check_rlimit(value: str) -> None:
    parts = value.split(":")
    if len(parts) > 2 or not all(re.fullmatch(r"[0-9]{1,19}|unlimited", part) for part in parts):
        raise refuse(f'Invalid value "{value}" (not a number, "unlimited", or soft:hard)')
    soft, hard = (float("inf") if part == "unlimited" else int(part) for part in (parts[0], parts[-1]))
    if soft > hard:
        raise refuse(f'Invalid value "{value}": the soft limit is above the hard one')


Priority = Checked("0 to 10", _check_priority)
Memory = Checked("size or percentage", _check_memory)
Rlimit = Checked("soft[:hard]", _check_rlimit)
CpuAllowance = any_of(
    "share or quota", Percentage, matching("quota", r"\d{1,9}(ms)?/\d{1,9}(ms)?", "Invalid allowance: {value}")
)


for _name, _type, _default, _help in (
    ("limits.cpu", CpuSet, "", 'How many CPUs, or which ones ("0-3,7"); all when unset'),
    ("limits.cpu.allowance", CpuAllowance, "100%", 'A share ("50%") or a quota ("25ms/100ms") of CPU time'),
    ("limits.cpu.priority", Priority, "10", "Priority for CPU time when it is scarce"),
    ("limits.disk.priority", Priority, "5", "Priority for disk time when it is scarce"),
    ("limits.memory", Memory, "", "Most memory, in bytes with a suffix or as a share of the host's"),
    (
        "limits.memory.enforce",
        one_of("soft", "hard"),
        "hard",
        "hard: never more than the limit; soft: more while the host has some to spare",
    ),
    ("limits.memory.swap", Bool, "true", "Whether memory of the instance may be swapped out"),
    ("limits.memory.swap.priority", Priority, "10", "The higher, the later it is swapped out"),
    ("limits.network.priority", Priority, "0", "Priority of what the instance sends on its host's interfaces"),
    ("limits.processes", Int, "", "Most processes and threads; a negative number is no limit"),
    *((f"limits.hugepages.{one}", Size, "", f"Most memory in huge pages of {one}") for one in HUGE_PAGES),
):
    key(_name, _type, scope=INSTANCE, default=_default, live=True, group="limits", help=_help)

for _name, _help in RLIMITS.items():
    key(f"limits.kernel.{_name}", Rlimit, scope=INSTANCE, group="limits", help=f"{_help}, of init and its children")
