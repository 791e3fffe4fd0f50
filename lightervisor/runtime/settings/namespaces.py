"""Identity and isolation of a container: names, id map, capabilities, AppArmor, environment, log, console."""

from lightervisor.config.types import is_true
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Lines

PRIVILEGED_DROPS = "sys_time sys_module sys_rawio mac_admin mac_override"
TERMINALS = "0"


def lines(spec: ContainerSpec, host: HostFacts) -> Lines:
    """The lines, from what LXD writes for the same container."""
    found: Lines = [
        ("lxc.log.file", str(spec.log_dir / "lxc.log")),
        ("lxc.log.level", "warn"),
        ("lxc.console.buffer.size", "auto"),
        ("lxc.console.size", "auto"),
        ("lxc.console.logfile", str(spec.log_dir / "console.log")),
        ("lxc.tty.max", TERMINALS),
        ("lxc.pty.max", "1024"),
        ("lxc.autodev", "1"),
        ("lxc.uts.name", spec.hostname),
        ("lxc.arch", spec.architecture),
        ("lxc.rootfs.path", f"dir:{spec.rootfs}"),
        ("lxc.rootfs.options", "idmap=none"),
    ]
    found = [line for line in found if line[0] != "lxc.rootfs.options"]
    if spec.idmap is not None:
        found += spec.idmap.lxc_lines()
    else:
        found.append(("lxc.cap.drop", PRIVILEGED_DROPS))
    if host.has_apparmor:
        found += _apparmor(spec)
    for key, value in spec.config.items():
        if key.startswith("environment."):
            found.append(("lxc.environment", f"{key.removeprefix('environment.')}={value}"))
        elif key.startswith("limits.kernel."):
            found.append((f"lxc.prlimit.{key.removeprefix('limits.kernel.')}", value))
        elif key.startswith("linux.sysctl."):
            found.append((f"lxc.sysctl.{key.removeprefix('linux.sysctl.')}", value))
    return found


def _apparmor(spec: ContainerSpec) -> Lines:
    found: Lines = [("lxc.apparmor.profile", "generated")]
    if is_true(spec.config.get("security.nesting")):
        found.append(("lxc.apparmor.allow_nesting", "1"))
    rules = spec.config.get("raw.apparmor", "")
    return found + [("lxc.apparmor.raw", rule) for rule in rules.splitlines() if rule.strip()]
