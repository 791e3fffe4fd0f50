"""Frames as an attacker writes them, byte by byte, and sockets that send and see them."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

from tests.harness.servers import socket_in

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL = 0x0003
ARP, IPV4, VLAN, IPV6 = 0x0806, 0x0800, 0x8100, 0x86DD
UDP, ICMPV6, DESTINATION_OPTIONS = 17, 58, 60


def mac(text: str) -> bytes:
    """A hardware address."""
    return bytes.fromhex(text.replace(":", ""))


def frame(sender: str, kind: int, payload: bytes, *, vlan: int | None = None) -> bytes:
    """An Ethernet frame to everybody."""
    tag = struct.pack("!HH", VLAN, vlan) if vlan is not None else b""
    return mac(BROADCAST) + mac(sender) + tag + struct.pack("!H", kind) + payload


def arp(sender: str, address: str, *, target: str = "0.0.0.0", operation: int = 2) -> bytes:
    """An ARP packet that says who has an address."""
    head = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    return head + mac(sender) + IPv4Address(address).packed + bytes(6) + IPv4Address(target).packed


def checksum(data: bytes) -> int:
    """The checksum of the Internet. Source: RFC 1071."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source: str, payload: bytes, *, target: str = "255.255.255.255", protocol: int = UDP) -> bytes:
    """An IPv4 packet."""
    total = 20 + len(payload)
    ends = IPv4Address(source).packed + IPv4Address(target).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, total, 1, 0, 64, protocol, 0)
    return head[:10] + struct.pack("!H", checksum(head + ends)) + ends + payload


def udp(source: int, target: int, payload: bytes = b"") -> bytes:
    """A UDP datagram without a checksum, which IPv4 allows."""
    return struct.pack("!HHHH", source, target, 8 + len(payload), 0) + payload


def dhcp(client: str, *, reply: bool = False) -> bytes:
    """The fixed part of a DHCP message."""
    head = struct.pack("!BBBBIHH", 2 if reply else 1, 1, 6, 0, 0x1234, 0, 0)
    return head + bytes(16) + mac(client) + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63\x35\x01\x01\xff"


def ipv6(
    source: str, payload: bytes, *, protocol: int = ICMPV6, target: str = "ff02::1", options: bool = False
) -> bytes:
    """An IPv6 packet; with `options` an extension header stands before the payload."""
    ends = IPv6Address(source).packed + IPv6Address(target).packed
    if protocol == ICMPV6:
        pseudo = ends + struct.pack("!II", len(payload), ICMPV6)
        payload = payload[:2] + struct.pack("!H", checksum(pseudo + payload)) + payload[4:]
    if options:
        payload, protocol = struct.pack("!BB", protocol, 0) + b"\x01\x04\0\0\0\0" + payload, DESTINATION_OPTIONS
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + ends + payload


def neighbour(kind: int, target: str, option: bytes = b"") -> bytes:
    """A neighbour solicitation (135) or advertisement (136)."""
    flags = 0x20000000 if kind == 136 else 0
    return struct.pack("!BBHI", kind, 0, 0, flags) + IPv6Address(target).packed + option


def address_option(kind: int, sender: str) -> bytes:
    """The option of neighbour discovery that names a hardware address: 1 is the source's, 2 the target's."""
    return struct.pack("!BB", kind, 1) + mac(sender)


def router() -> bytes:
    """A router advertisement: who believes it sends everything here."""
    return struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)


class Wire:
    """A raw socket on an interface in the network of a process."""

    def __init__(self, pid: int, interface: str = "eth0") -> None:
        def make() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
            made.bind((interface, ALL))
            return made

        self._socket = socket_in(pid, make)
        self._socket.settimeout(10)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send one frame."""
        self._socket.send(data)

    def seen_before(self, marker: bytes) -> list[bytes]:
        """The frames that came before the one with these bytes in it."""
        found: list[bytes] = []
        while marker not in (data := self._socket.recv(1 << 16)):
            found.append(data)
        return found
