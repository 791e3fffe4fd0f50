"""The wire of rtnetlink: messages, attributes, and what an answer says about a link or an address.

Our own because pyroute2 costs 11 MB and 60 ms in every process that imports it; what is needed is small.
Sources: rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/netlink.h.
"""

import errno
import os
import socket
import struct
import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

Interface = IPv4Interface | IPv6Interface
Subnet = IPv4Network | IPv6Network
Ip = IPv4Address | IPv6Address

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH = 28, 29
NEWNSID, GETNSID = 88, 90
REQUEST, ACK, REPLACE, EXCL, CREATE, DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
DUMP_INTERRUPTED, ERROR, DONE = 0x10, 2, 3
SOL_NETLINK, EXT_ACK, STRICT, CAP_ACK = 270, 11, 12, 10
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_OPERSTATE = 1, 3, 4, 5, 10, 16
IFLA_TXQLEN, IFLA_LINKINFO, IFLA_NET_NS_PID, IFLA_STATS64, IFLA_NET_NS_FD = 13, 18, 19, 23, 28
IFLA_LINK_NETNSID, IFLA_TARGET_NETNSID = 37, 46
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_VLAN_ID, VETH_INFO_PEER = 1, 2, 1, 1
IFLA_VLAN_FLAGS, VLAN_FLAG_GVRP, IFLA_MACVLAN_MODE, MACVLAN_BRIDGE = 2, 0x2, 1, 4
IFLA_IPVLAN_MODE, IPVLAN_L2, IPVLAN_L3S = 1, 0, 2
IFLA_BR_FORWARD_DELAY, IFLA_BR_STP_STATE = 1, 5
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_TARGET_NETNSID, IFA_F_NODAD = 1, 2, 8, 10, 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
NDA_DST, NTF_PROXY, NUD_PERMANENT, RTNH_F_ONLINK = 1, 0x08, 0x80, 4
NETNSA_NSID, NETNSA_PID = 1, 2
IFF_UP, IFF_LOOPBACK, IFF_POINTOPOINT, IFF_BROADCAST = 0x1, 0x8, 0x10, 0x2
NESTED = 0x8000
MAIN_TABLE, PROTO_STATIC, SCOPE_LINK, SCOPE_NOWHERE, UNICAST = 254, 4, 253, 255, 1
SCOPES = {0: "global", 200: "site", 253: "link", 254: "local"}

ANSWER_S = 30.0  # the kernel holds its lock of all links while it takes namespaces down, by the hundred for seconds

Attributes = dict[int, memoryview]


@dataclass(frozen=True)
class Counters:
    """Since the link exists; in the first fields' order of struct rtnl_link_stats64."""

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True)
class Link:
    """One interface. `kind` is the kernel's driver ("bridge", "veth", "vlan", ...) or "" for a physical one.

    `peer` is the index of what it hangs on (the other end of a veth, the parent of a vlan) or 0; it counts in
    another namespace when `peer_elsewhere`. `hwaddr` is "" for a loopback.
    """

    index: int
    name: str
    flags: int
    mtu: int
    hwaddr: str
    kind: str
    master: int
    peer: int
    peer_elsewhere: bool
    counters: Counters
    vlan: int = 0

    @property
    def is_up(self) -> bool:
        """Whether somebody switched it on."""
        return bool(self.flags & IFF_UP)

    @property
    def type(self) -> str:
        """LXD's word: loopback, point-to-point or broadcast."""
        if self.flags & IFF_LOOPBACK:
            return "loopback"
        return "point-to-point" if self.flags & IFF_POINTOPOINT else "broadcast"


@dataclass(frozen=True)
class Address:
    """One address of a link; `scope` is global, site, link or local."""

    index: int
    family: str
    address: str
    prefix: int
    scope: str


class Refused(OSError):
    """The kernel's answer to a request: errno, and its own words where it has some."""


class RouteSocket:
    """One rtnetlink socket; one request at a time, each with this long for an answer."""

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        for option in (EXT_ACK, CAP_ACK, STRICT):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        self._socket.settimeout(answer_s)
        self._sequence = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the socket; safe to call twice."""
        self._socket.close()

    def ask(self, kind: int, flags: int, body: bytes) -> list[tuple[int, memoryview]]:
        """Send a request and return the answers' kinds and bodies. Raises Refused."""
        with self._lock:
            answers: list[tuple[int, memoryview]] = []
            for _ in range(5):  # a dump is interrupted when links change meanwhile: ask again
                self._sequence += 1
                self._socket.send(
                    struct.pack("=IHHII", 16 + len(body), kind, flags | REQUEST, self._sequence, 0) + body
                )
                answers, interrupted = self._collect(dump=flags & DUMP == DUMP and not flags & (CREATE | ACK))
                if not interrupted:
                    break
            return answers

    def _collect(self, *, dump: bool) -> tuple[list[tuple[int, memoryview]], bool]:
        answers: list[tuple[int, memoryview]] = []
        interrupted = False
        while True:
            try:
                view = memoryview(self._socket.recv(1 << 18))
            except TimeoutError as error:
                raise Refused(errno.ETIMEDOUT, f"no answer within {self._socket.gettimeout()} s") from error
            while len(view) >= 16:
                length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", view)
                body, view = view[16:length], view[(length + 3) & ~3 :]
                if sequence != self._sequence:
                    continue
                interrupted |= bool(flags & DUMP_INTERRUPTED)
                if kind in (ERROR, DONE):
                    code = struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                    if code < 0:
                        said = bytes(attributes(body[20:] if kind == ERROR else body[4:]).get(1, b"")).rstrip(b"\0")
                        raise Refused(-code, said.decode(errors="replace") or os.strerror(-code))
                    return answers, interrupted
                answers.append((kind, body))
                if not dump:
                    return answers, interrupted


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(view: memoryview) -> Attributes:
    """The attributes of a message by kind; what follows a broken one is left out."""
    found: Attributes = {}
    position, end, unpack = 0, len(view), struct.Struct("=HH").unpack_from
    while position + 4 <= end:
        length, kind = unpack(view, position)
        if length < 4:
            break
        found[kind & 0x3FFF] = view[position + 4 : position + length]
        position += (length + 3) & ~3
    return found


def name_attribute(name: str) -> bytes:
    """The attribute that names a link."""
    return attribute(IFLA_IFNAME, name.encode() + b"\0")


def details(hwaddr: str, mtu: int | None) -> bytes:
    """The attributes for what is given of hardware address and mtu."""
    body = attribute(IFLA_ADDRESS, bytes.fromhex(hwaddr.replace(":", ""))) if hwaddr else b""
    return body + (attribute(IFLA_MTU, struct.pack("=I", mtu)) if mtu else b"")


def link_header(index: int, flags: int = 0, change: int = 0) -> bytes:
    """struct ifinfomsg."""
    return struct.pack("=BBHiII", 0, 0, 0, index, flags, change)


def family_of(address: Interface | Subnet | Ip) -> int:
    """AF_INET or AF_INET6."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def subnet(family: int, raw: bytes, prefix: int) -> Subnet:
    """A subnet from raw bytes."""
    if family == socket.AF_INET:
        return IPv4Network((raw, prefix), strict=False)
    return IPv6Network((raw, prefix), strict=False)


def number(found: Attributes, kind: int) -> int:
    """The number in an attribute; 0 without one."""
    raw = found.get(kind)
    return 0 if raw is None else int.from_bytes(raw[:4], "little" if struct.pack("=H", 1)[0] else "big")


def parse_link(body: memoryview) -> Link:
    """What an RTM_NEWLINK message says."""
    _, _, _, index, flags, _ = struct.unpack_from("=BBHiII", body)
    found = attributes(body[16:])
    info = attributes(found[IFLA_LINKINFO]) if IFLA_LINKINFO in found else {}
    kind = bytes(info.get(IFLA_INFO_KIND, b"")).rstrip(b"\0").decode()
    stats = found.get(IFLA_STATS64)
    vlan = attributes(info[IFLA_INFO_DATA]).get(IFLA_VLAN_ID) if kind == "vlan" and IFLA_INFO_DATA in info else None
    return Link(
        index=index,
        name=bytes(found[IFLA_IFNAME]).rstrip(b"\0").decode(errors="replace"),
        flags=flags,
        mtu=number(found, IFLA_MTU),
        hwaddr="" if flags & IFF_LOOPBACK else bytes(found.get(IFLA_ADDRESS, b"")).hex(":"),
        kind=kind,
        master=number(found, IFLA_MASTER),
        peer=number(found, IFLA_LINK),
        peer_elsewhere=IFLA_LINK_NETNSID in found,
        counters=Counters(*struct.unpack_from("=8Q", stats)) if stats is not None else Counters(),
        vlan=struct.unpack("=H", vlan)[0] if vlan is not None else 0,
    )


def parse_address(body: memoryview) -> Address:
    """What an RTM_NEWADDR message says."""
    family, prefix, _, scope, index = struct.unpack_from("=BBBBI", body)
    found = attributes(body[8:])
    raw = bytes(found.get(IFA_LOCAL) or found[IFA_ADDRESS])
    text = str(IPv4Address(raw)) if family == socket.AF_INET else str(IPv6Address(raw))
    return Address(index, "inet" if family == socket.AF_INET else "inet6", text, prefix, SCOPES.get(scope, "global"))
