"""Addresses and routes of a network namespace, written down and given back to links of the same names.

What the kernel makes by itself is left out: link-local addresses, routes that come with an address, and what a router
has announced. Source: rtnetlink(7).
"""

import errno
import socket
import struct
from collections.abc import Mapping, Sequence

import msgspec

from lightervisor.kernel.netlink import Netlink
from lightervisor.kernel.rtnetlink import (
    ACK,
    CREATE,
    DUMP,
    GETADDR,
    GETROUTE,
    MAIN_TABLE,
    NEWADDR,
    NEWROUTE,
    REPLACE,
    RTA_OIF,
    UNICAST,
    Refused,
    RouteSocket,
    attribute,
    attributes,
)

SCOPE_LINK, LOOPBACK = 253, "lo"
PROTO_KERNEL, PROTO_ANNOUNCED = 2, 9
IFA_CACHEINFO, IFA_FLAGS, RTA_CACHEINFO = 6, 8, 12
IFA_F_NODAD, IFA_F_TEMPORARY = 0x02, 0x01


class KeptLink(msgspec.Struct):
    """One link: whether it was up; messages of the kernel for its addresses and routes, without the link's number."""

    is_up: bool = True
    addresses: list[bytes] = []
    routes: list[bytes] = []


def read() -> dict[str, KeptLink]:
    """The links of the calling thread's network but the loopback interface. Raises OSError, HostError."""
    with Netlink() as links:
        found = {link.index: (link.name, KeptLink(link.is_up)) for link in links.links() if link.name != LOOPBACK}
    asking = RouteSocket()
    try:
        for kind, body in asking.ask(GETADDR, DUMP, bytes(8)):
            index = int(struct.unpack_from("=I", body, 4)[0])
            if kind == NEWADDR and index in found and not _comes_alone(body):
                found[index][1].addresses.append(bytes(body[:4]) + bytes(4) + _without(body[8:], {IFA_CACHEINFO}))
        for kind, body in asking.ask(GETROUTE, DUMP, bytes(12)):
            given = attributes(body[12:])
            index = int(struct.unpack("=I", given[RTA_OIF])[0]) if RTA_OIF in given else 0
            table, protocol, type_ = body[4], body[5], body[7]
            is_own = table == MAIN_TABLE and type_ == UNICAST and protocol not in (PROTO_KERNEL, PROTO_ANNOUNCED)
            if kind == NEWROUTE and index in found and is_own:
                found[index][1].routes.append(bytes(body[:12]) + _without(body[12:], {RTA_OIF, RTA_CACHEINFO}))
    finally:
        asking.close()
    return dict(found.values())


def give_back(kept: Mapping[str, KeptLink]) -> None:
    """Give the links of the calling thread's network what was read; what one has already, or is gone, is left alone."""
    with Netlink() as links:
        for name, one in kept.items():
            if (link := links.link(name)) is None:
                continue
            links.set(name, up=one.is_up)
            _send(NEWADDR, [raw[:4] + struct.pack("=I", link.index) + raw[8:] for raw in one.addresses])
            index = attribute(RTA_OIF, struct.pack("=I", link.index))
            # A route through a gateway needs the one that leads there.
            _send(NEWROUTE, [raw + index for raw in sorted(one.routes, key=lambda raw: -raw[6])])


def encode(kept: Mapping[str, KeptLink]) -> bytes:
    """As JSON."""
    return msgspec.json.encode(kept)


def decode(data: bytes) -> dict[str, KeptLink]:
    """What `encode` has made. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=dict[str, KeptLink])


def _comes_alone(body: memoryview) -> bool:
    flags = attributes(body[8:]).get(IFA_FLAGS)
    is_temporary = flags is not None and bool(struct.unpack("=I", flags)[0] & IFA_F_TEMPORARY)
    return body[0] == socket.AF_INET6 and (body[3] == SCOPE_LINK or is_temporary)


def _without(body: memoryview, left_out: set[int]) -> bytes:
    return b"".join(attribute(kind, bytes(value)) for kind, value in attributes(body).items() if kind not in left_out)


def _send(kind: int, bodies: Sequence[bytes]) -> None:
    asking = RouteSocket()
    try:
        for body in bodies:
            try:
                asking.ask(kind, CREATE | REPLACE | ACK, body)
            except Refused as error:
                if error.errno not in (errno.EEXIST, errno.ENETUNREACH, errno.EINVAL):
                    raise
    finally:
        asking.close()
