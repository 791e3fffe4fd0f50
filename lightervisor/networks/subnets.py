"""Subnets that nobody uses yet: for "auto", and to refuse one that the host has elsewhere."""

import random
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface

from lightervisor.errors import HostError
from lightervisor.kernel.netlink import Netlink

Subnet = IPv4Network | IPv6Network
TRIES = 500


def in_use() -> list[Subnet]:
    """Every subnet this host has an address in or a route to, but the default routes."""
    with Netlink() as host:
        own = [ip_interface(f"{one.address}/{one.prefix}").network for one in host.addresses()]
        return own + host.routes()


def free_ipv4(used: Sequence[Subnet], choice: random.Random | None = None) -> IPv4Interface:
    """A gateway address in a /24 that overlaps nothing used: in 10/8, else 172.16/12, else 192.168/16.

    Raises HostError when there is none. Source: LXD, "random free 10.x.y.1/24".
    """
    taken = [subnet for subnet in used if isinstance(subnet, IPv4Network)]
    for candidate in _candidates_ipv4(choice or random.SystemRandom()):
        if not any(candidate.network.overlaps(subnet) for subnet in taken):
            return candidate
    remedy = "give one: ipv4.address=A.B.C.D/24, or ipv4.address=none"
    raise HostError("network", cause="no private IPv4 subnet is free on this host", remedy=remedy)


def _candidates_ipv4(choice: random.Random) -> Iterator[IPv4Interface]:
    for _ in range(TRIES):
        yield IPv4Interface(f"10.{choice.randrange(256)}.{choice.randrange(256)}.1/24")
    for _ in range(TRIES):
        yield IPv4Interface(f"172.{choice.randrange(16, 32)}.{choice.randrange(256)}.1/24")
    for third in range(256):
        yield IPv4Interface(f"192.168.{third}.1/24")


def free_ipv6(used: Sequence[Subnet], choice: random.Random | None = None) -> IPv6Interface:
    """A gateway address in an unused /64 of fd42::/16. Raises HostError when there is none."""
    taken = [subnet for subnet in used if isinstance(subnet, IPv6Network)]
    source = choice or random.SystemRandom()
    for _ in range(TRIES):
        groups = ":".join(f"{source.randrange(0x10000):x}" for _ in range(3))
        candidate = IPv6Interface(f"fd42:{groups}::1/64")
        if not any(candidate.network.overlaps(subnet) for subnet in taken):
            return candidate
    remedy = "give one: ipv6.address=fdxx:...::1/64, or ipv6.address=none"
    raise HostError("network", cause="no private IPv6 subnet is free on this host", remedy=remedy)


def owner_of(address: IPv4Interface | IPv6Interface, but: str) -> str:
    """The host's interface, other than `but`, that has an address of this subnet, as "eth0 (10.0.0.5/24)"; else "".

    A wider subnet elsewhere (10.0.0.0/8) does not count: a more specific one inside it is legal routing.
    """
    with Netlink() as host:
        names = {link.index: link.name for link in host.links()}
        for one in host.addresses():
            other = ip_interface(f"{one.address}/{one.prefix}")
            name = names.get(one.index, "?")
            if name != but and other.version == address.version and other.ip in address.network:
                return f"{name} ({other})"
    return ""
