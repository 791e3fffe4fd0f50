"""The seccomp policy: LXD's default list of refused system calls, and the keys that change it."""

from collections.abc import Mapping

from lightervisor.config.types import is_true
from lightervisor.runtime.spec import ContainerSpec, Lines

NO_SUCH_CALL = "errno 38"
DENIED = ("kexec_load", "open_by_handle_at", "init_module", "finit_module", "delete_module")


def lines(spec: ContainerSpec) -> Lines:
    """The line that names the policy's file; `write` makes the file."""
    return [("lxc.seccomp.profile", str(spec.security_dir / "seccomp" / spec.name))] if policy(spec.config) else []


def policy(config: Mapping[str, str]) -> str:
    """The text of the policy, or "" for none. Source: lxc.container.conf(5), SECCOMP CONFIGURATION."""
    if raw := config.get("raw.seccomp"):
        return raw if raw.endswith("\n") else raw + "\n"
    if allowed := _calls(config, "allow", "whitelist"):
        return "2\nallowlist\n[all]\n" + "".join(f"{call}\n" for call in allowed)
    rules: list[str] = []
    default = (
        config.get("security.syscalls.deny_default") or config.get("security.syscalls.blacklist_default") or "true"
    )
    if is_true(default):
        rules += ["reject_force_umount", "[all]", *(f"{call} {NO_SUCH_CALL}" for call in DENIED)]
    else:
        rules.append("[all]")
    rules += [call if " " in call else f"{call} {NO_SUCH_CALL}" for call in _calls(config, "deny", "blacklist")]
    compat = config.get("security.syscalls.deny_compat") or config.get("security.syscalls.blacklist_compat")
    if is_true(compat):
        rules += ["[x86]", "* errno 38"]
    return "2\ndenylist\n" + "\n".join(rules) + "\n" if len(rules) > 1 else ""


def write(spec: ContainerSpec) -> None:
    """Write the policy's file where `lines` says it is."""
    text = policy(spec.config)
    path = spec.security_dir / "seccomp" / spec.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if text:
        path.write_text(text)
    else:
        path.unlink(missing_ok=True)


def _calls(config: Mapping[str, str], word: str, old_word: str) -> list[str]:
    text = config.get(f"security.syscalls.{word}") or config.get(f"security.syscalls.{old_word}") or ""
    return [line.strip() for line in text.splitlines() if line.strip()]
