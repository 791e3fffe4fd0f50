"""AppArmor: liblxc generates, loads and unloads a profile for each container; raw.apparmor adds rules to it.

The profile's file lies where liblxc puts it; links to it are kept under both names that LXD gave it over the years.

Only where the kernel has AppArmor: elsewhere liblxc would refuse the line. Source: lxc.container.conf(5), LXD.
"""

from pathlib import Path

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


def link(spec: ContainerSpec, lxcpath: Path) -> None:
    """Let the profile of a container that was started be found where LXD's users look for it."""
    generated = next((lxcpath / spec.name / "apparmor").glob("lxc-*"), None)
    if generated is None:
        return
    for place in _links(spec.security_dir, spec.name):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(generated)


def unlink(security_dir: Path, name: str) -> None:
    """Forget the links of a container that is deleted."""
    for place in _links(security_dir, name):
        place.unlink(missing_ok=True)


def _links(security_dir: Path, name: str) -> list[Path]:
    return [security_dir / "apparmor" / "profiles" / word for word in (f"lxd-{name}", name)]
