"""The seccomp policy: LXD's default list of refused system calls, and the keys that change it.

Source: lxc.container.conf(5), SECCOMP CONFIGURATION; LXD's instance keys.
"""

import os
from collections.abc import Mapping

from lightervisor.config.architectures import name_of
from lightervisor.config.types import is_true
from lightervisor.errors import Invalid
from lightervisor.runtime.settings import intercept
from lightervisor.runtime.spec import ContainerSpec, Lines

PREFIX = "security.syscalls."
OLD_NAMES = {
    "allow": "whitelist", "deny": "blacklist", "deny_default": "blacklist_default", "deny_compat": "blacklist_compat",
}  # fmt: skip
NO_SUCH_CALL = "errno 38"
DENIED = ("kexec_load", "open_by_handle_at", "init_module", "finit_module", "delete_module")


def lines(spec: ContainerSpec) -> Lines:
    """The line that names the policy's file; `write` makes the file."""
    return [("lxc.seccomp.profile", str(spec.security_dir / "seccomp" / spec.name))] if policy(spec.config) else []


def check(config: Mapping[str, str]) -> None:
    """Raise Invalid, with LXD's texts, for keys that exclude each other in a merged configuration."""
    given = {name for name in config if name.startswith(PREFIX) and config[name]}
    for name, old in OLD_NAMES.items():
        if {PREFIX + name, PREFIX + old} <= given:
            raise _exclusive(f"Mutually exclusive keys {PREFIX}{name} and {PREFIX}{old} are set")
    denies = {PREFIX + name for pair in OLD_NAMES.items() for name in pair} - {PREFIX + "allow", PREFIX + "whitelist"}
    if config.get("raw.seccomp") and given:
        raise _exclusive("raw.seccomp is mutually exclusive with security.syscalls*")
    if _value(config, "allow") and given & denies:
        raise _exclusive("security.syscalls.allow is mutually exclusive with security.syscalls.deny*")


def _exclusive(text: str) -> Invalid:
    return Invalid("config", text=f"Invalid config: {text}")


def policy(config: Mapping[str, str]) -> str:
    """The text of the policy, or "" for none."""
    if raw := config.get("raw.seccomp"):
        return raw if raw.endswith("\n") else raw + "\n"
    if allowed := _calls(config, "allow"):
        return "2\nallowlist\n[all]\n" + "".join(f"{call}\n" for call in allowed)
    rules: list[str] = []
    if is_true(_value(config, "deny_default") or "true"):
        rules += ["reject_force_umount", *(f"{call} {NO_SUCH_CALL}" for call in DENIED)]
    rules += intercept.rules(config)
    rules += [call if " " in call else f"{call} {NO_SUCH_CALL}" for call in _calls(config, "deny")]
    return "2\ndenylist\n[all]\n" + "\n".join(rules) + "\n" if rules else ""


def native_only(spec: ContainerSpec) -> bool:
    """Whether it may make native system calls alone, which no policy can say: the spawner sees to it.

    Raises Invalid for a container whose own programs make others.
    """
    if not is_true(_value(spec.config, "deny_compat")):
        return False
    if spec.architecture != name_of(os.uname().machine):
        cause = f"it is of architecture {spec.architecture}, whose programs make just these calls"
        remedy = f"lxc config unset {spec.hostname} {PREFIX}deny_compat"
        raise Invalid("instance", spec.hostname, cause=f"{PREFIX}deny_compat: {cause}", remedy=remedy)
    return True


def write(spec: ContainerSpec) -> None:
    """Write the policy's file where `lines` says it is."""
    text = policy(spec.config)
    path = spec.security_dir / "seccomp" / spec.name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if text:
        path.write_text(text)
    else:
        path.unlink(missing_ok=True)


def _value(config: Mapping[str, str], name: str) -> str:
    return config.get(PREFIX + name) or config.get(PREFIX + OLD_NAMES[name]) or ""


def _calls(config: Mapping[str, str], name: str) -> list[str]:
    return [line.strip() for line in _value(config, name).splitlines() if line.strip()]
