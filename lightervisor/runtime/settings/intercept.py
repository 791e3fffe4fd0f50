"""security.syscalls.intercept.*: which system calls are handed to our interceptor, and what it may do for the caller.

Source: seccomp_unotify(2); lxc.container.conf(5), lxc.seccomp.notify; LXD's instance keys.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightervisor.config.confinement_keys import INTERCEPT
from lightervisor.config.types import is_true
from lightervisor.errors import Unsupported
from lightervisor.kernel import files
from lightervisor.runtime.spec import ContainerSpec, Lines

MACHINES = ("x86_64", "aarch64")
ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")
# A listener inside would be refused by the kernel (EBUSY); so, programs find that there is none before they rely on it.
NO_LISTENERS = ("seccomp errno 22 [1,8,SCMP_CMP_MASKED_EQ,8]",)
FILE_TYPE, CHARACTER, BLOCK = 0o170000, 0o020000, 0o060000
# Neither remount, bind and move nor a change of propagation: a file system that is new.
NOT_NEW = 32 | 4096 | 8192 | 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20
NODES = tuple(
    f"{call} notify [{argument},{kind},SCMP_CMP_MASKED_EQ,{FILE_TYPE}]"
    for call, argument in (("mknod", 1), ("mknodat", 2))
    for kind in (CHARACTER, BLOCK)
)
RULES = {
    "mknod": NODES,
    "setxattr": ("setxattr notify [3,1,SCMP_CMP_EQ]", "lsetxattr notify [3,1,SCMP_CMP_EQ]"),
    # Without the newer calls programs fall back on the old one, whose arguments can be read.
    "mount": (
        f"mount notify [3,0,SCMP_CMP_MASKED_EQ,{NOT_NEW}]",
        "fsopen errno 38", "fsconfig errno 38", "fsmount errno 38", "fspick errno 38",
    ),
    "bpf": tuple(f"bpf notify [0,{command},SCMP_CMP_EQ]" for command in (5, 8, 9)),  # load, attach, detach a program
    "sched_setscheduler": ("sched_setscheduler notify",),
    "sysinfo": ("sysinfo notify",),
}  # fmt: skip


def wanted(config: Mapping[str, str]) -> list[str]:
    """The words of those interceptions that are on."""
    on = [word for word in RULES if is_true(config.get(INTERCEPT + word))]
    return on if is_true(config.get(f"{INTERCEPT}bpf.devices")) else [word for word in on if word != "bpf"]


def rules(config: Mapping[str, str]) -> list[str]:
    """The rules of the policy. Raises Unsupported where the kernel cannot hand calls over."""
    words = wanted(config)
    if not words:
        return []
    _require(words[0])
    return [*NO_LISTENERS, *(rule for word in words for rule in RULES[word])]


def _require(word: str) -> None:
    if os.uname().machine not in MACHINES:
        cause = f"those of {os.uname().machine} cannot be read, as {INTERCEPT}{word} needs"
        raise Unsupported("system calls", cause=cause, remedy=f"unset {INTERCEPT}{word}")
    try:
        has_it = "user_notif" in ACTIONS.read_text().split()
    except OSError:
        has_it = False
    if not has_it:
        raise Unsupported(
            "system calls",
            cause=f"this kernel cannot hand them over (no user_notif), as {INTERCEPT}{word} needs",
            remedy=f"unset {INTERCEPT}{word}, or use Linux 5.5 or later with CONFIG_SECCOMP_FILTER",
        )


def lines(spec: ContainerSpec, socket: Path | None) -> Lines:
    """Where the monitor takes the calls to, and the name under which it does."""
    if socket is None or not wanted(spec.config):
        return []
    return [("lxc.seccomp.notify.proxy", f"unix:{socket}"), ("lxc.seccomp.notify.cookie", spec.name)]


def write(directory: Path, name: str, config: Mapping[str, str], *, calls: Sequence[str] | None = None) -> None:
    """Write what the interceptor may do for a container, or remove that. Raises OSError.

    It is read with each call, so it can change live, but for the `calls` that the filter hands over since the start.
    """
    calls = wanted(config) if calls is None else calls
    if not calls:
        files.discard(directory / name)
        return
    fuse = (part.partition("=") for part in _parts(config, "mount.fuse"))
    permits = {
        "calls": calls,
        "mount": _parts(config, "mount.allowed"),
        "fuse": {kind: program for kind, _, program in fuse},
        "shift": is_true(config.get(f"{INTERCEPT}mount.shift")),
    }
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_whole(directory / name, json.dumps(permits), 0o600)


def calls_of(directory: Path, name: str) -> list[str]:
    """The calls that a running container hands over, as `write` wrote them; none for one that does not."""
    try:
        return list(json.loads((directory / name).read_text())["calls"])
    except FileNotFoundError:
        return []


def _parts(config: Mapping[str, str], word: str) -> list[str]:
    return [part.strip() for part in config.get(INTERCEPT + word, "").split(",") if part.strip()]
