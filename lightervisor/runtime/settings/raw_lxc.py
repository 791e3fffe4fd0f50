"""raw.lxc: lines added as they are, less those that would take a container out of our hands. Source: LXD."""

from collections.abc import Mapping

from lightervisor.errors import Invalid

FORBIDDEN = ("lxc.log.file", "lxc.log.syslog", "lxc.ephemeral")
ALLOWED_NET = ("ipv4.address", "ipv4.gateway", "ipv6.address", "ipv6.gateway")


def text(config: Mapping[str, str]) -> str:
    """The lines of raw.lxc, checked. Raises Invalid with LXD's text for a forbidden key."""
    raw = config.get("raw.lxc", "")
    check(raw)
    return raw if not raw or raw.endswith("\n") else raw + "\n"


def check(raw: str) -> None:
    """Raise Invalid for a line that is not "key = value" or whose key is forbidden."""
    if any(ord(c) < 32 and c not in "\n\t" for c in raw):
        raise Invalid("raw.lxc", text="Invalid raw.lxc: control characters are not allowed")
    for line in raw.split("\n"):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, _ = stripped.partition("=")
        key = key.strip().lower()
        if not equals:
            raise Invalid("raw.lxc", text=f"Invalid raw.lxc line: {stripped}")
        if key.startswith("lxc.net.") and not key.endswith(ALLOWED_NET):
            raise Invalid("raw.lxc", key, text="Only interface-specific ipv4/ipv6 lxc.net. keys are allowed")
        if key.startswith("lxc.prlimit."):
            text = 'Process limits should be set via "limits.kernel.[limit name]" and not directly via '
            raise Invalid("raw.lxc", key, text=f'{text}"lxc.prlimit.[limit name]"')
        if key in FORBIDDEN:
            raise Invalid("raw.lxc", key, text=f"Setting {key} is not allowed")
