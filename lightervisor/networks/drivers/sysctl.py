"""Kernel settings a routed bridge needs. Source: kernel, Documentation/networking/ip-sysctl.rst."""

from pathlib import Path

NET = Path("/proc/sys/net")


def has_ipv6() -> bool:
    """Whether this kernel speaks IPv6 at all."""
    return (NET / "ipv6").is_dir()


def prepare(bridge: str, *, ipv4: bool, ipv6: bool, has_ipv6: bool) -> list[str]:
    """Switch on forwarding and settle the bridge's IPv6 before it goes up; returns warnings of what is refused.

    `ipv4` and `ipv6` say whether packets are routed, `has_ipv6` whether the bridge has an IPv6 address. Forwarding
    makes the kernel ignore router advertisements, from which the host may have its own default route, unless
    accept_ra is 2.
    """
    wanted: list[tuple[Path, str]] = []
    if ipv4:
        wanted.append((NET / "ipv4/ip_forward", "1"))
    conf = NET / "ipv6/conf"
    if conf.is_dir():
        own = conf / bridge
        wanted += [(own / "disable_ipv6", "0" if has_ipv6 else "1"), (own / "autoconf", "0"), (own / "accept_dad", "0")]
        if ipv6 and _read(conf / "all/forwarding") != "1":
            keep = [entry / "accept_ra" for entry in conf.iterdir() if entry.name not in ("all", bridge)]
            wanted += [(path, "2") for path in keep if _read(path) == "1"]
            wanted.append((conf / "all/forwarding", "1"))
    return [problem for path, value in wanted if (problem := _write(path, value))]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _write(path: Path, value: str) -> str:
    if _read(path) == value:
        return ""
    try:
        path.write_text(value)
    except OSError as error:
        return f"cannot set {path.relative_to(NET.parent)} to {value}: {error.strerror}"
    return ""
