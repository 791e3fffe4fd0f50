"""AppArmor: liblxc generates, loads and unloads a profile for each container; raw.apparmor adds rules to it.

Only where the kernel has AppArmor: elsewhere liblxc would refuse the line. Source: lxc.container.conf(5), LXD.
"""

from lightervisor.config.types import is_true
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Lines


def lines(spec: ContainerSpec, host: HostFacts) -> Lines:
    """The profile's lines."""
    if not host.has_apparmor:
        return []
    found: Lines = [("lxc.apparmor.profile", "generated")]
    if is_true(spec.config.get("security.nesting")):
        found.append(("lxc.apparmor.allow_nesting", "1"))
    rules = spec.config.get("raw.apparmor", "")
    return found + [("lxc.apparmor.raw", rule.strip()) for rule in rules.splitlines() if rule.strip()]
