"""Is an address somebody's on the link? Asked by ARP and by neighbour discovery, from nobody, as before it is taken.

Sources: RFC 5227 (probes), RFC 4862 5.4 (duplicate addresses), packet(7).
"""

import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

Ip = IPv4Address | IPv6Address
ALL, ARP, IPV6 = 0x0003, 0x0806, 0x86DD
ARP_REPLY, ICMPV6, SOLICITATION, ADVERTISEMENT = 2, 58, 135, 136


def in_use(interface: str, hwaddr: str, addresses: Iterable[Ip], *, timeout_s: float) -> Ip | None:
    """The first of these addresses that somebody on the link of an interface has; waits for so long. Raises OSError."""
    wanted = set(addresses)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(ALL)) as wire:
        wire.bind((interface, ALL))
        for one in wanted:
            wire.send(question(bytes.fromhex(hwaddr.replace(":", "")), one))
        limit = time.monotonic() + timeout_s
        while wanted and select.select([wire], [], [], max(0.0, limit - time.monotonic()))[0]:
            data, (_, _, kind, *_) = wire.recvfrom(2048)
            if kind != socket.PACKET_OUTGOING and (found := answered(data)) in wanted:
                return found
    return None


def question(hwaddr: bytes, address: Ip) -> bytes:
    """The frame that asks who has an address. Pure."""
    if isinstance(address, IPv4Address):
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + hwaddr + bytes(4) + bytes(6) + address.packed
        return b"\xff" * 6 + hwaddr + struct.pack("!H", ARP) + body
    group = IPv6Address(0xFF0200000000000000000001FF000000 | int(address) & 0xFFFFFF)
    nonce = b"\x0e\x01" + os.urandom(6)
    message = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + address.packed + nonce
    ends = bytes(16) + group.packed
    pseudo = ends + struct.pack("!II", len(message), ICMPV6)
    message = message[:2] + struct.pack("!H", _checksum(pseudo + message)) + message[4:]
    head = struct.pack("!IHBB", 6 << 28, len(message), ICMPV6, 255)
    return b"\x33\x33" + group.packed[-4:] + hwaddr + struct.pack("!H", IPV6) + head + ends + message


def answered(frame: bytes) -> Ip | None:
    """The address that a frame says somebody has; None when it says nothing about that. Pure."""
    kind = int.from_bytes(frame[12:14])
    if kind == ARP and len(frame) >= 42 and int.from_bytes(frame[20:22]) == ARP_REPLY:
        return IPv4Address(frame[28:32])
    if kind == IPV6 and len(frame) >= 78 and frame[20] == ICMPV6 and frame[54] == ADVERTISEMENT:
        return IPv6Address(frame[62:78])
    return None


def _checksum(data: bytes) -> int:
    """Source: RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
