"""security.privileged: the id map, or for a privileged container what is taken from root.

Source: LXD; capabilities(7); cgroup-v1/devices.rst.
"""

from lightervisor.config.confinement_keys import INTERCEPT
from lightervisor.config.types import is_true
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Lines

PRIVILEGED_DROPS = "sys_time sys_module sys_rawio mac_admin mac_override"
# Root that is not mapped can make any device node, and a file system that the host mounts for a container may hold
# them: only these may be opened. The last two: fuse and tun.
DEVICES = (
    "b *:* m", "c *:* m", "c 136:* rwm", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
    "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 10:229 rwm", "c 10:200 rwm",
)  # fmt: skip


def lines(spec: ContainerSpec, host: HostFacts) -> Lines:
    """The lines of a mapped container, or of a privileged one."""
    if spec.idmap is not None and not is_true(spec.config.get(f"{INTERCEPT}mount")):
        return spec.idmap.lxc_lines()
    version = "lxc.cgroup" if host.cgroups.has("devices.deny", version=1) else "lxc.cgroup2"
    return [
        *(spec.idmap.lxc_lines() if spec.idmap is not None else [("lxc.cap.drop", PRIVILEGED_DROPS)]),
        (f"{version}.devices.deny", "a"),
        *((f"{version}.devices.allow", device) for device in DEVICES),
    ]
