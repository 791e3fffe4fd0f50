"""The configuration keys of instances and profiles. Source: LXD 5.0, instance configuration."""

from lightervisor.config.key import key
from lightervisor.config.types import (
    FALSE,
    Blob,
    Bool,
    CpuSet,
    Int,
    Memory,
    Percentage,
    Size,
    Text,
    any_of,
    integer,
    list_of,
    matching,
    not_yet,
    one_of,
)

SCOPE = "instance"
CpuAllowance = any_of("share or quota", Percentage, matching("quota", r"\d+ms/\d+ms", "Invalid allowance: {value}"))
SoftHard = matching("soft[:hard]", r"(\d+|unlimited)(:(\d+|unlimited))?", "Invalid value {value!r}")

key(
    "boot.autostart",
    Bool,
    scope=SCOPE,
    group="boot",
    help="Start with the daemon: true always, false never, unset as it was when the host went down",
)
key(
    "boot.autostart.delay",
    integer(0),
    scope=SCOPE,
    default="0",
    group="boot",
    help="Seconds to wait after starting this instance before the next one",
)
key("boot.autostart.priority", Int, scope=SCOPE, default="0", group="boot", help="Order of autostart, higher first")
key(
    "boot.host_shutdown_timeout",
    integer(0),
    scope=SCOPE,
    default="30",
    live=True,
    group="boot",
    help="Seconds this instance has to stop when the host shuts down",
)
key(
    "boot.stop.priority",
    Int,
    scope=SCOPE,
    default="0",
    group="boot",
    help="Order of stopping at host shutdown, higher first",
)
key(
    "cloud-init.network-config",
    Blob,
    scope=SCOPE,
    group="cloud-init",
    help="cloud-init network configuration, read by image templates and the guest API",
)
key(
    "cloud-init.user-data",
    Blob,
    scope=SCOPE,
    group="cloud-init",
    help="cloud-init user data, read by image templates and the guest API",
)
key(
    "cloud-init.vendor-data",
    Blob,
    scope=SCOPE,
    group="cloud-init",
    help="cloud-init vendor data, read by image templates and the guest API",
)
key(
    "environment.*",
    Text,
    scope=SCOPE,
    live=True,
    group="miscellaneous",
    help="Environment variable for init and for new commands",
)
key(
    "limits.cpu",
    CpuSet,
    scope=SCOPE,
    live=True,
    group="limits",
    help='How many CPUs, or which ones ("0-3,7"); all when unset',
)
key(
    "limits.cpu.allowance",
    CpuAllowance,
    scope=SCOPE,
    default="100%",
    live=True,
    group="limits",
    help='A share ("50%") or a quota ("25ms/100ms") of CPU time',
)
key(
    "limits.cpu.priority",
    integer(0, 10),
    scope=SCOPE,
    default="10",
    live=True,
    group="limits",
    help="Priority for CPU time when it is scarce, 0 to 10",
)
key(
    "limits.disk.priority",
    integer(0, 10),
    scope=SCOPE,
    default="5",
    live=True,
    group="limits",
    help="Priority for disk time when it is scarce, 0 to 10",
)
key("limits.hugepages.64KB", Size, scope=SCOPE, live=True, group="limits", help="Most memory in huge pages of 64KB")
key("limits.hugepages.1MB", Size, scope=SCOPE, live=True, group="limits", help="Most memory in huge pages of 1MB")
key("limits.hugepages.2MB", Size, scope=SCOPE, live=True, group="limits", help="Most memory in huge pages of 2MB")
key("limits.hugepages.1GB", Size, scope=SCOPE, live=True, group="limits", help="Most memory in huge pages of 1GB")
key(
    "limits.kernel.*",
    SoftHard,
    scope=SCOPE,
    group="limits",
    help="Resource limit of init (setrlimit), soft or soft:hard",
)
key(
    "limits.memory",
    Memory,
    scope=SCOPE,
    live=True,
    group="limits",
    help="Most memory, in bytes with a suffix or as a share of the host's",
)
key(
    "limits.memory.enforce",
    one_of("hard", "soft"),
    scope=SCOPE,
    default="hard",
    live=True,
    group="limits",
    help="hard: never more than the limit; soft: more while the host has some to spare",
)
key(
    "limits.memory.swap",
    Bool,
    scope=SCOPE,
    default="true",
    live=True,
    group="limits",
    help="Whether memory of the instance may be swapped out",
)
key(
    "limits.memory.swap.priority",
    integer(0, 10),
    scope=SCOPE,
    default="10",
    live=True,
    group="limits",
    help="The higher, the later it is swapped out, 0 to 10",
)
key(
    "limits.network.priority",
    integer(0, 10),
    scope=SCOPE,
    default="0",
    live=True,
    group="limits",
    help="Priority of outgoing traffic, 0 to 10 (cgroup v1)",
)
key("limits.processes", integer(0), scope=SCOPE, live=True, group="limits", help="Most processes")
key(
    "linux.kernel_modules",
    list_of(Text),
    scope=SCOPE,
    live=True,
    group="miscellaneous",
    help="Modules to load on the host before the instance starts",
)
key("linux.sysctl.*", Text, scope=SCOPE, group="miscellaneous", help="Kernel setting of the instance's namespaces")
key("raw.apparmor", Blob, scope=SCOPE, live=True, group="raw", help="Lines added to the AppArmor profile")
key(
    "raw.idmap",
    not_yet(Blob),
    scope=SCOPE,
    group="raw",
    help='Lines of "both|uid|gid HOST GUEST" that map single ids or ranges',
)
key("raw.lxc", Blob, scope=SCOPE, group="raw", help="Lines added to the liblxc configuration")
key("raw.seccomp", Blob, scope=SCOPE, group="raw", help="A seccomp policy that replaces the built-in one")
key(
    "security.devlxd",
    Bool,
    scope=SCOPE,
    default="true",
    live=True,
    group="security",
    help="Offer the guest API on /dev/lxd/sock",
)
key("security.idmap.base", not_yet(integer(0)), scope=SCOPE, group="security", help="First host id of an isolated map")
key(
    "security.idmap.isolated",
    not_yet(Bool, *FALSE),
    scope=SCOPE,
    default="false",
    group="security",
    help="Use a range of host ids that no other instance has",
)
key(
    "security.idmap.size",
    not_yet(integer(0)),
    scope=SCOPE,
    default="65536",
    group="security",
    help="Number of ids of an isolated map",
)
key(
    "security.nesting",
    Bool,
    scope=SCOPE,
    default="false",
    live=True,
    group="security",
    help="Allow containers inside",
)
key(
    "security.privileged",
    Bool,
    scope=SCOPE,
    default="false",
    group="security",
    help="Root inside is root outside: no protection from the guest",
)
key(
    "security.protection.delete",
    Bool,
    scope=SCOPE,
    default="false",
    live=True,
    group="security",
    help="Refuse to delete the instance",
)
key(
    "security.protection.shift",
    Bool,
    scope=SCOPE,
    default="false",
    live=True,
    group="security",
    help="Refuse to change the owners of files on disk for another id map",
)
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
key(
    "user.*",
    Blob,
    scope=SCOPE,
    live=True,
    group="miscellaneous",
    help="Free for the user; templates and the guest API can read it",
)
key("image.*", Blob, scope=SCOPE, group="miscellaneous", help="Properties of the image the instance was made from")

for _name, _help in (
    ("apply_template", "The template trigger that is due at the next start"),
    ("base_image", "Fingerprint of the image that the instance was made from"),
    ("cloud-init.instance-id", "What cloud-init knows the instance by"),
    ("evacuate.origin", "The cluster member that the instance was evacuated from"),
    ("idmap.base", "First id of the instance's own part of the host's range"),
    ("idmap.current", "The id map that is in use"),
    ("idmap.next", "The id map that the next start uses"),
    ("last_state.idmap", "The id map of the files on disk; empty when they are mapped at mount"),
    ("last_state.power", "Whether it ran when the daemon last knew"),
    ("uuid", "The instance's own identity"),
    ("vsock_id", "Number of a virtual machine on the host"),
    ("apply_quota", "Older: a quota that is due at the next start"),
    ("*.apply_quota", "A quota that is due at the next start"),
    ("*.ceph_rbd", "Device of a Ceph volume"),
    ("*.driver", "The driver that a physical card had on the host"),
    ("*.host_name", "The host's end of the cable"),
    ("*.hwaddr", "The card's address, when none was given"),
    ("*.name", "The card's name inside, when none was given"),
    ("*.uuid", "Identity of a device on the host"),
    ("*.last_state.created", "Whether the daemon made the host's interface"),
    ("*.last_state.mtu", "The MTU that a physical card had on the host"),
    ("*.last_state.hwaddr", "The address that a physical card had on the host"),
    ("*.last_state.vf.id", "Number of the virtual function"),
    ("*.last_state.vf.hwaddr", "The address that the virtual function had"),
    ("*.last_state.vf.vlan", "The VLAN that the virtual function had"),
    ("*.last_state.vf.spoofcheck", "The spoof check that the virtual function had"),
    ("*.last_state.vf.parent", "The card that the virtual function is of"),
):
    key(f"volatile.{_name}", Blob, scope=SCOPE, group="volatile", help=_help)
