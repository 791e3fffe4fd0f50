"""Giving addresses back to a DHCP server in the name of a client that is gone for good.

The packets are what the client itself would send. Sources: RFC 2131 section 4.4.4, RFC 2132, RFC 8415 section 18.2.7.
"""

import contextlib
import secrets
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

SERVER_PORT4, SERVER_PORT6 = 67, 547
BOOTREQUEST, ETHERNET, RELEASE4, RELEASE6 = 1, 1, 7, 8
COOKIE = bytes([99, 130, 83, 99])
TYPE, SERVER, CLIENT, END = 53, 54, 61, 255
CLIENT_ID6, SERVER_ID6, NON_TEMPORARY, ADDRESS6 = 1, 2, 3, 5


@dataclass(frozen=True, kw_only=True)
class Lease4:
    """One address that was given out; `client_id` is empty when the client sent none."""

    address: IPv4Address
    hwaddr: str
    client_id: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Lease6:
    """One address that was given out: to which client, and for which of its interfaces."""

    address: IPv6Address
    client_id: bytes
    interface_id: int


def packet4(lease: Lease4, server: IPv4Address, number: int) -> bytes:
    """DHCPRELEASE; `number` is the transaction's. Pure."""
    head = struct.pack("!BBBBIHH", BOOTREQUEST, ETHERNET, 6, 0, number, 0, 0)
    addresses = lease.address.packed + bytes(12)
    names = bytes.fromhex(lease.hwaddr.replace(":", "")).ljust(16, b"\0") + bytes(64 + 128)
    options = bytes([TYPE, 1, RELEASE4, SERVER, 4]) + server.packed
    if lease.client_id:
        options += bytes([CLIENT, len(lease.client_id)]) + lease.client_id
    return (head + addresses + names + COOKIE + options + bytes([END])).ljust(300, b"\0")


def packet6(lease: Lease6, server_id: bytes, number: int) -> bytes:
    """RELEASE of DHCPv6. Pure."""
    address = _option6(ADDRESS6, lease.address.packed + bytes(8))
    identity = struct.pack("!III", lease.interface_id, 0, 0)
    body = _option6(CLIENT_ID6, lease.client_id) + _option6(SERVER_ID6, server_id)
    return struct.pack("!I", RELEASE6 << 24 | number & 0xFFFFFF) + body + _option6(NON_TEMPORARY, identity + address)


def _option6(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value


def release4(lease: Lease4, server: IPv4Address) -> None:
    """Tell the server at this address; nothing happens when none answers there."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.sendto(packet4(lease, server, secrets.randbits(32)), (str(server), SERVER_PORT4))


def release6(lease: Lease6, server_id: bytes, bridge: str) -> None:
    """Tell the server that listens on this bridge."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as channel:
        scope = socket.if_nametoindex(bridge)
        channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, scope)
        channel.sendto(packet6(lease, server_id, secrets.randbits(24)), ("ff02::1:2", SERVER_PORT6, 0, scope))
