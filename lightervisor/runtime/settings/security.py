"""security.privileged: the id map, or for a privileged container what is taken from root.

Source: LXD; capabilities(7); cgroup-v1/devices.rst.
"""

from lightervisor.config.confinement_keys import INTERCEPT
from lightervisor.config.device_rules import MAKE, OPEN
from lightervisor.config.types import is_true
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Lines

PRIVILEGED_DROPS = "sys_time sys_module sys_rawio mac_admin mac_override"


def lines(spec: ContainerSpec, host: HostFacts) -> Lines:
    """The lines of a mapped container, or of a privileged one."""
    if spec.idmap is not None and not is_true(spec.config.get(f"{INTERCEPT}mount")):
        return spec.idmap.lxc_lines()
    version = "lxc.cgroup" if host.cgroups.has("devices.deny", version=1) else "lxc.cgroup2"
    return [
        *(spec.idmap.lxc_lines() if spec.idmap is not None else [("lxc.cap.drop", PRIVILEGED_DROPS)]),
        (f"{version}.devices.deny", "a"),
        *((f"{version}.devices.allow", rule) for rule in (*MAKE, *OPEN)),
    ]
