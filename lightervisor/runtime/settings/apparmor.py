"""The AppArmor profile of a container: nobody outside is signalled or traced, and the host's settings are not changed.

A container with an id map may mount as its user namespace lets it, so the kernel's own checks decide; a privileged one
may mount what holds nothing of the host, or with security.nesting anything. Where the kernel can stack profiles the
container gets a policy namespace of its own, in which it may load profiles for what runs inside.
Source: apparmor.d(5), apparmor_namespaces, proc(5), sysfs(5); LXD's names.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lightervisor.config.types import is_true
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Lines

Tree = Mapping[str, "Tree | None"]
STACKING = Path("/sys/kernel/security/apparmor/features/domain/stack")

BASE = (
    "capability,", "dbus,", "file,", "network,", "umount,", "unix,",
    "signal (receive),", "signal (send) peer=@{profile_name},",
    "ptrace (readby, tracedby),", "ptrace (read, trace) peer=@{profile_name},",
)  # fmt: skip
# Nobody inside has any use for these, and what they do is done to the host.
DENIED = (
    "/proc/acpi/** wklx", "/proc/kcore rwklx", "/proc/kmem rwklx", "/proc/mem rwklx", "/proc/kpage* rwklx",
    "/proc/latency_stats rwklx", "/proc/sched_debug rwklx", "/proc/scsi/** wklx", "/proc/sysrq-trigger rwklx",
    "/proc/timer_list rwklx", "/sys/firmware/efi/efivars/** rwklx", "/sys/kernel/debug/** wklx",
    "/sys/module/** wklx", "/sys/power/** wklx", "/dev/.lxd-mounts/** rwklx",
)  # fmt: skip
# What may be written of /proc/sys: what is of the container's own namespaces.
OWN_SETTINGS: Tree = {
    "fs": {"binfmt_misc": None, "mqueue": None},
    "kernel": {
        "domainname": None, "hostname": None, "keys": None, "msg*": None, "ns_last_pid": None, "sem*": None,
        "shm*": None,
    },
    "net": None,
    "user": None,
}  # fmt: skip
HARMLESS_MOUNTS = (
    "mount fstype=tmpfs,", "mount fstype=ramfs,", "mount fstype=devpts -> /dev/pts/,", "mount fstype=mqueue,",
    "mount fstype=hugetlbfs,", "mount fstype=fuse,", "mount fstype=fuse.*,", "mount fstype=overlay,",
    "mount fstype=cgroup -> /sys/fs/cgroup/**,", "mount fstype=cgroup2 -> /sys/fs/cgroup/**,",
    "mount fstype=proc -> /proc/,", "mount fstype=sysfs -> /sys/,",
    "mount fstype=binfmt_misc -> /proc/sys/fs/binfmt_misc/,",
    "mount options=(rw, bind),", "mount options=(rw, rbind),", "mount options=(rw, move),",
    "mount options=(rw, make-slave),", "mount options=(rw, make-rslave),", "mount options=(rw, make-private),",
    "mount options=(rw, make-rprivate),", "mount options=(rw, make-shared),", "mount options=(rw, make-rshared),",
    "mount options=(rw, make-unbindable),", "mount options=(rw, make-runbindable),",
    "remount,", "pivot_root,",
)  # fmt: skip


def is_stacked(config: Mapping[str, str], *, stacking: Path = STACKING) -> bool:
    """Whether this container has a policy namespace; a privileged one that nests uses its own profile inside."""
    try:
        can_stack = stacking.read_text().strip() == "yes"
    except OSError:
        return False
    return can_stack and not (is_true(config.get("security.privileged")) and is_true(config.get("security.nesting")))


def label(name: str, security_dir: Path) -> str:
    """The profile's name in the kernel, as LXD's: one for each container of each daemon."""
    return f"lxd-{name}_<{security_dir.parent}>"


def namespace(name: str, security_dir: Path) -> str:
    """The policy namespace's name: no slashes may be in it."""
    return f"lxd-{name}_<{str(security_dir.parent).strip('/').replace('/', '-')}>"


def lines(spec: ContainerSpec, host: HostFacts) -> Lines:
    """The line that names the profile, which is loaded before the start."""
    if not host.has_apparmor:
        return []
    found = label(spec.name, spec.security_dir)
    if is_stacked(spec.config):
        found += f"//&:{namespace(spec.name, spec.security_dir)}:"
    return [("lxc.apparmor.profile", found)]


def profile(name: str, security_dir: Path, config: Mapping[str, str], *, stacked: bool) -> str:
    """The profile's text."""
    is_privileged, nests = is_true(config.get("security.privileged")), is_true(config.get("security.nesting"))
    rules = [*BASE, *(f"deny {rule}," for rule in DENIED), *denied_except("/proc/sys/", OWN_SETTINGS)]
    if is_privileged and not nests:
        rules += HARMLESS_MOUNTS
    else:
        rules += ("mount,", "remount,", "pivot_root,")
    if nests:
        rules.append("change_profile,")
    if stacked:
        inner = namespace(name, security_dir)
        rules += (f'change_profile -> ":{inner}:*",', f'change_profile -> ":{inner}://*",')
    else:
        rules.append("deny /sys/kernel/security/** wklx,")  # with a namespace the kernel sees to it
    rules += [line.strip() for line in config.get("raw.apparmor", "").splitlines() if line.strip()]
    flags = "attach_disconnected,mediate_deleted"
    body = "".join(f"  {rule}\n" for rule in rules)
    return f'#include <tunables/global>\nprofile "{label(name, security_dir)}" flags=({flags}) {{\n{body}}}\n'


def denied_except(above: str, allowed: Tree) -> Iterator[str]:
    """Rules that refuse to write anything below a directory but what a tree names; None lets all below it.

    A name ending in * stands for all that begin so. Deny rules win over all others, so they must spell out every name
    that is not allowed, letter by letter.
    """
    yield from _denied(above, "", list(allowed.items()))


def _denied(above: str, letters: str, names: "list[tuple[str, Tree | None]]") -> Iterator[str]:
    if any(rest == "*" for rest, _ in names):
        return
    ended = [below for rest, below in names if not rest]
    if letters and not ended:
        yield f"deny {above}{letters}{{,/**}} wklx,"
    first = sorted({rest[0] for rest, _ in names if rest})
    yield f"deny {above}{letters}[^{''.join(first)}/]*{{,/**}} wklx,"
    for letter in first:
        yield from _denied(above, letters + letter, [(rest[1:], below) for rest, below in names if rest[:1] == letter])
    for below in ended:
        if below is not None:
            yield from denied_except(f"{above}{letters}/", below)
