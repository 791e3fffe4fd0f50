"""The keys about what a container may do: system calls, their interception, and raw configuration.

Source: LXD 5.0, instance configuration; `intercept.sysinfo` is of a later LXD.
"""

import re

from lightervisor.config.key import INSTANCE, key
from lightervisor.config.types import Blob, Bool, Checked, list_of, refuse

SCOPE = INSTANCE
INTERCEPT = "security.syscalls.intercept."


def _check_file_system(value: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,31}", value):
        raise refuse(f"Invalid file system {value!r}")


def _check_fuse(value: str) -> None:
    kind, equals, program = value.partition("=")
    _check_file_system(kind)
    if not equals or not re.fullmatch(r"[A-Za-z0-9/][A-Za-z0-9_./-]{0,254}", program):
        raise refuse(f"Invalid fuse program {value!r}, which should be FILESYSTEM=PROGRAM")


FileSystems = list_of(Checked("file system", _check_file_system))
FuseFileSystems = list_of(Checked("file system=program", _check_fuse))

key("raw.apparmor", Blob, scope=SCOPE, live=True, group="raw", help="Lines added to the AppArmor profile")
key("raw.lxc", Blob, scope=SCOPE, group="raw", help="Lines added to the liblxc configuration")
key("raw.seccomp", Blob, scope=SCOPE, group="raw", help="A seccomp policy that replaces the built-in one")
key(
    "security.syscalls.allow",
    Blob,
    scope=SCOPE,
    group="security",
    help="Only these system calls are allowed, one per line",
)
key(
    "security.syscalls.deny",
    Blob,
    scope=SCOPE,
    group="security",
    help="System calls to refuse besides the built-in list, one per line",
)
key(
    "security.syscalls.deny_compat",
    Bool,
    scope=SCOPE,
    default="false",
    group="security",
    help="Refuse 32-bit system calls",
)
key(
    "security.syscalls.deny_default",
    Bool,
    scope=SCOPE,
    default="true",
    group="security",
    help="Apply the built-in list of refused system calls",
)
key(
    "security.syscalls.whitelist",
    Blob,
    scope=SCOPE,
    group="security",
    help="Older name of security.syscalls.allow",
)
key("security.syscalls.blacklist", Blob, scope=SCOPE, group="security", help="Older name of security.syscalls.deny")
key(
    "security.syscalls.blacklist_default",
    Bool,
    scope=SCOPE,
    group="security",
    help="Older name of security.syscalls.deny_default",
)
key(
    "security.syscalls.blacklist_compat",
    Bool,
    scope=SCOPE,
    group="security",
    help="Older name of security.syscalls.deny_compat",
)

for _name, _type, _live, _help in (
    ("bpf", Bool, False, "Handle bpf() calls of the instance; which ones, other keys say"),
    ("bpf.devices", Bool, False, "Let the instance load and attach BPF programs of device cgroups, with intercept.bpf"),
    ("mknod", Bool, False, "Let the instance make harmless device nodes (null, zero, full, random, tty, whiteouts)"),
    ("mount", Bool, False, "Handle mount() calls of the instance; which ones, other keys say"),
    ("mount.allowed", FileSystems, True, "File systems that the instance may mount: the host's kernel reads them"),
    ("mount.fuse", FuseFileSystems, True, "File systems that are mounted by a FUSE program of the instance instead"),
    ("mount.shift", Bool, True, "Map the owners of files on what is mounted to the instance's ids"),
    ("sched_setscheduler", Bool, False, "Let the instance's root raise the priority of its processes"),
    ("setxattr", Bool, False, "Let the instance's root set trusted.overlay.opaque"),
    ("sysinfo", Bool, False, "Answer sysinfo() with the instance's own memory, load and uptime"),
):
    key(
        f"{INTERCEPT}{_name}",
        _type,
        scope=SCOPE,
        default="false" if _type is Bool else "",
        live=_live,
        group="security",
        help=_help,
    )
