"""Links, addresses and routes through rtnetlink, on raw sockets.

`Netlink()` speaks to the namespace of the calling thread, `NamespaceLinks(pid)` to that of another process, from
here: the kernel answers for a namespace named by its id (IFLA_TARGET_NETNSID), so nothing enters it, no descriptor
keeps it alive, and asking again costs two dumps.
"""

import errno
import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from lightervisor.errors import HostError
from lightervisor.kernel.rtnetlink import (
    ACK,
    CREATE,
    DELADDR,
    DELLINK,
    DELNEIGH,
    DELROUTE,
    DUMP,
    EXCL,
    GETADDR,
    GETLINK,
    GETNSID,
    GETROUTE,
    IFA_ADDRESS,
    IFA_F_NODAD,
    IFA_FLAGS,
    IFA_LOCAL,
    IFA_TARGET_NETNSID,
    IFF_UP,
    IFLA_BR_FORWARD_DELAY,
    IFLA_BR_STP_STATE,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_IPVLAN_MODE,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MACVLAN_MODE,
    IFLA_MASTER,
    IFLA_NET_NS_FD,
    IFLA_NET_NS_PID,
    IFLA_TARGET_NETNSID,
    IFLA_TXQLEN,
    IFLA_VLAN_FLAGS,
    IFLA_VLAN_ID,
    IPVLAN_L2,
    IPVLAN_L3S,
    MACVLAN_BRIDGE,
    MAIN_TABLE,
    NDA_DST,
    NESTED,
    NETNSA_NSID,
    NETNSA_PID,
    NEWADDR,
    NEWLINK,
    NEWNEIGH,
    NEWNSID,
    NEWROUTE,
    NTF_PROXY,
    NUD_PERMANENT,
    PROTO_STATIC,
    REPLACE,
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    RTA_TABLE,
    RTNH_F_ONLINK,
    SCOPE_LINK,
    SCOPE_NOWHERE,
    UNICAST,
    VETH_INFO_PEER,
    VLAN_FLAG_GVRP,
    Address,
    Interface,
    Ip,
    Link,
    Refused,
    RouteSocket,
    Subnet,
    attribute,
    attributes,
    details,
    family_of,
    link_header,
    name_attribute,
    number,
    parse_address,
    parse_link,
    subnet,
)


class Netlink:
    """Links, addresses and routes of the calling thread's network namespace. A context manager."""

    def __init__(self) -> None:
        self._socket = RouteSocket()

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket; safe to call twice."""
        self._socket.close()

    def links(self) -> list[Link]:
        """Every link."""
        return [parse_link(body) for kind, body in self._socket.ask(GETLINK, DUMP, bytes(16)) if kind == NEWLINK]

    def link(self, name: str) -> Link | None:
        """One link, or None."""
        try:
            answers = self._socket.ask(GETLINK, 0, bytes(16) + name_attribute(name))
        except Refused as error:
            if error.errno in (errno.ENODEV, errno.EINVAL, errno.ERANGE):
                return None
            raise
        return parse_link(answers[0][1])

    def addresses(self, index: int | None = None) -> list[Address]:
        """Every address, or those of one link."""
        answers = self._socket.ask(GETADDR, DUMP, struct.pack("=BBBBI", 0, 0, 0, 0, index or 0))
        return [parse_address(body) for kind, body in answers if kind == NEWADDR]

    def routes(self) -> list[Subnet]:
        """Destinations of all unicast routes but the default ones, of all tables."""
        found: list[Subnet] = []
        for kind, body in self._socket.ask(GETROUTE, DUMP, bytes(12)):
            family, prefix, route_type = body[0], body[1], body[7]
            raw = attributes(body[12:]).get(RTA_DST)
            if kind == NEWROUTE and prefix and raw is not None and route_type == UNICAST:
                found.append(subnet(family, bytes(raw), prefix))
        return found

    def create_bridge(self, name: str, *, hwaddr: str = "", mtu: int | None = None) -> None:
        """Create a bridge that forwards at once (no spanning tree). Raises HostError when the name is taken."""
        data = attribute(IFLA_BR_FORWARD_DELAY, struct.pack("=I", 0))
        data += attribute(IFLA_BR_STP_STATE, struct.pack("=I", 0))
        self._create(name, "bridge", data, details(hwaddr, mtu))

    def create_veth(self, name: str, peer: str, *, mtu: int | None = None) -> None:
        """Create both ends of a cable. Raises HostError when a name is taken."""
        data = attribute(VETH_INFO_PEER, bytes(16) + name_attribute(peer) + details("", mtu))
        self._create(name, "veth", data, details("", mtu))

    def create_cable(self, name: str, inside: str, pid: int, *, hwaddr: str, mtu: int | None = None) -> None:
        """Create a veth whose other end, with this name and hardware address, is in the network of a process.

        Raises HostError when one of the names is taken.
        """
        there = details(hwaddr, mtu) + attribute(IFLA_NET_NS_PID, struct.pack("=I", pid))
        data = attribute(VETH_INFO_PEER, bytes(16) + name_attribute(inside) + there)
        self._create(name, "veth", data, details("", mtu))

    def create_dummy(self, name: str, *, mtu: int | None = None) -> None:
        """Create a link that goes nowhere: it keeps a bridge's mtu and carrier. Raises HostError."""
        self._create(name, "dummy", b"", details("", mtu))

    def create_macvlan(self, name: str, parent: str, *, pid: int, hwaddr: str, mtu: int | None = None) -> None:
        """Create an interface beside a parent, with an address of its own, in the network of a process.

        Raises HostError.
        """
        data = attribute(IFLA_MACVLAN_MODE, struct.pack("=I", MACVLAN_BRIDGE))
        self._create(name, "macvlan", data, self._above(parent, pid) + details(hwaddr, mtu))

    def create_ipvlan(self, name: str, parent: str, *, l2: bool, pid: int | None, mtu: int | None = None) -> None:
        """Create an interface that shares its parent's hardware address, here or in the network of a process.

        Raises HostError.
        """
        data = attribute(IFLA_IPVLAN_MODE, struct.pack("=H", IPVLAN_L2 if l2 else IPVLAN_L3S))
        self._create(name, "ipvlan", data, self._above(parent, pid) + details("", mtu))

    def create_vlan(self, name: str, parent: str, vlan: int, *, gvrp: bool = False) -> None:
        """Create the interface for a VLAN of a parent. Raises HostError."""
        data = attribute(IFLA_VLAN_ID, struct.pack("=H", vlan))
        if gvrp:
            data += attribute(IFLA_VLAN_FLAGS, struct.pack("=II", VLAN_FLAG_GVRP, VLAN_FLAG_GVRP))
        self._create(name, "vlan", data, self._above(parent, None))

    def _above(self, parent: str, pid: int | None) -> bytes:
        body = attribute(IFLA_LINK, struct.pack("=I", self._index(parent)))
        return body if pid is None else body + attribute(IFLA_NET_NS_PID, struct.pack("=I", pid))

    def _create(self, name: str, kind: str, data: bytes, details: bytes) -> None:
        info = attribute(IFLA_INFO_KIND, kind.encode()) + attribute(IFLA_INFO_DATA | NESTED, data)
        body = bytes(16) + name_attribute(name) + details + attribute(IFLA_LINKINFO | NESTED, info)
        self._change(NEWLINK, CREATE | EXCL, body, name)

    def set(
        self,
        name: str,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        hwaddr: str = "",
        master: str | None = None,
        queue: int | None = None,
        namespace_pid: int | None = None,
        namespace: int | None = None,
        new_name: str = "",
    ) -> None:
        """Change a link; `master` "" unplugs it from its bridge. Raises HostError.

        It goes to the network of a process or of a descriptor, there with another name if one is given. `queue` is how
        many packets may wait to be sent.
        """
        attributes = details(hwaddr, mtu)
        if master is not None:
            attributes += attribute(IFLA_MASTER, struct.pack("=I", self._index(master) if master else 0))
        if namespace_pid is not None:
            attributes += attribute(IFLA_NET_NS_PID, struct.pack("=I", namespace_pid))
        if namespace is not None:
            attributes += attribute(IFLA_NET_NS_FD, struct.pack("=I", namespace))
        if queue is not None:
            attributes += attribute(IFLA_TXQLEN, struct.pack("=I", queue))
        if new_name:
            attributes += name_attribute(new_name)
        change, flags = (IFF_UP, IFF_UP if up else 0) if up is not None else (0, 0)
        self._change(NEWLINK, 0, link_header(self._index(name), flags, change) + attributes, name)

    def rename(self, name: str, new_name: str) -> None:
        """Rename a link. Raises HostError."""
        self._change(NEWLINK, 0, link_header(self._index(name)) + name_attribute(new_name), name)

    def delete(self, name: str) -> None:
        """Delete a link; nothing happens when it is gone."""
        if (found := self.link(name)) is not None:
            self._change(DELLINK, 0, link_header(found.index), name, (errno.ENODEV,))

    def add_address(self, name: str, address: Interface) -> None:
        """Give a link an address, usable at once; nothing happens when it has it."""
        self._change(NEWADDR, CREATE | REPLACE, self._address_body(name, address, IFA_F_NODAD), name, (errno.EEXIST,))

    def delete_address(self, name: str, address: Interface) -> None:
        """Take an address off a link; nothing happens when it has none such."""
        self._change(DELADDR, 0, self._address_body(name, address, 0), name, (errno.EADDRNOTAVAIL,))

    def add_route(self, name: str, wanted: Subnet, *, gateway: Ip | None = None, table: int = MAIN_TABLE) -> None:
        """Send a subnet's packets out of a link; nothing happens when that is so already.

        A gateway is taken to be at the other end of the link. Raises HostError where another link has that route: it
        may be the host's own way out, and is left alone.
        """
        try:
            self._socket.ask(NEWROUTE, CREATE | EXCL | ACK, self._route_body(name, wanted, gateway, table))
        except Refused as error:
            if error.errno == errno.EEXIST and self._leads(name, wanted, table):
                return
            taken = f"another route to {wanted} exists already"
            cause = taken if error.errno == errno.EEXIST else f"the kernel says: {error.strerror}"
            raise HostError("network interface", name, cause=cause) from error

    def _leads(self, name: str, wanted: Subnet, table: int) -> bool:
        """Whether a subnet's packets go out of a link."""
        index = self._index(name)
        for kind, body in self._socket.ask(GETROUTE, DUMP, struct.pack("=B", family_of(wanted)) + bytes(11)):
            found = attributes(body[12:])
            raw = bytes(found.get(RTA_DST) or bytes(wanted.max_prefixlen // 8))
            if (
                kind == NEWROUTE
                and subnet(body[0], raw, body[1]) == wanted
                and number(found, RTA_OIF) == index
                and number(found, RTA_TABLE) == table
            ):
                return True
        return False

    def delete_route(self, name: str, subnet: Subnet, *, table: int = MAIN_TABLE) -> None:
        """Undo `add_route`; nothing happens when there is no such route or link."""
        if self.link(name) is not None:
            body = self._route_body(name, subnet, None, table, scope=SCOPE_NOWHERE)
            self._change(DELROUTE, 0, body, name, (errno.ESRCH, errno.ENODEV))

    def add_proxy(self, name: str, address: Ip) -> None:
        """Answer on a link for an address that is elsewhere (ARP, neighbour discovery). Raises HostError."""
        self._change(NEWNEIGH, CREATE | REPLACE, self._proxy_body(name, address), name)

    def delete_proxy(self, name: str, address: Ip) -> None:
        """Undo `add_proxy`; nothing happens when there is none, or no such link."""
        if self.link(name) is not None:
            self._change(DELNEIGH, 0, self._proxy_body(name, address), name, (errno.ENOENT, errno.ESRCH))

    def _proxy_body(self, name: str, address: Ip) -> bytes:
        head = struct.pack("=BxxxiHBB", family_of(address), self._index(name), NUD_PERMANENT, NTF_PROXY, 0)
        return head + attribute(NDA_DST, address.packed)

    def _address_body(self, name: str, address: Interface, flags: int) -> bytes:
        family, raw = family_of(address), address.ip.packed
        head = struct.pack("=BBBBI", family, address.network.prefixlen, 0, 0, self._index(name))
        body = head + attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw)
        return body + (attribute(IFA_FLAGS, struct.pack("=I", flags)) if flags and family == socket.AF_INET6 else b"")

    def _route_body(
        self, name: str, subnet: Subnet, gateway: Ip | None, table: int, *, scope: int | None = None
    ) -> bytes:
        if scope is None or subnet.version == 6:
            scope = SCOPE_LINK if subnet.version == 4 and gateway is None else 0
        flags = RTNH_F_ONLINK if gateway is not None else 0
        small = table if table < 256 else 0
        head = struct.pack(
            "=BBBBBBBBI", family_of(subnet), subnet.prefixlen, 0, 0, small, PROTO_STATIC, scope, UNICAST, flags
        )
        body = head + attribute(RTA_OIF, struct.pack("=I", self._index(name)))
        if subnet.prefixlen:
            body += attribute(RTA_DST, subnet.network_address.packed)
        if gateway is not None:
            body += attribute(RTA_GATEWAY, gateway.packed)
        return body + attribute(RTA_TABLE, struct.pack("=I", table))

    def _index(self, name: str) -> int:
        found = self.link(name)
        if found is None:
            raise HostError("network interface", name, cause="does not exist")
        return found.index

    def _change(self, kind: int, flags: int, body: bytes, name: str, fine: Sequence[int] = ()) -> None:
        try:
            self._socket.ask(kind, flags | ACK, body)
        except Refused as error:
            if error.errno not in fine:
                raise HostError("network interface", name, cause=f"the kernel says: {error.strerror}") from error


class NamespaceLinks:
    """Links and addresses in the network namespace of a process, asked from outside.

    Holds one socket of our own namespace. Every call names the namespace by `pid` anew, so the caller makes sure
    that the process is still the one it means; a dead one gives empty lists. Needs a kernel of 4.20 or newer.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._socket = RouteSocket()

    def close(self) -> None:
        """Let go of the socket; safe to call twice."""
        self._socket.close()

    def list(self) -> list[tuple[Link, list[Address]]]:
        """Every link with its addresses. Costs about 0.1 ms. Raises HostError."""
        try:
            target = struct.pack("=i", self._namespace_id())
            links = self._socket.ask(GETLINK, DUMP, bytes(16) + attribute(IFLA_TARGET_NETNSID, target))
            raw = self._socket.ask(GETADDR, DUMP, bytes(8) + attribute(IFA_TARGET_NETNSID, target))
        except Refused as error:
            if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
                return []
            cause = f"the kernel says: {error.strerror}"
            raise HostError("network namespace", f"of process {self._pid}", cause=cause) from error
        addresses = [parse_address(body) for kind, body in raw if kind == NEWADDR]
        found = [parse_link(body) for kind, body in links if kind == NEWLINK]
        return [(link, [one for one in addresses if one.index == link.index]) for link in found]

    def _namespace_id(self) -> int:
        body = bytes(4) + attribute(NETNSA_PID, struct.pack("=I", self._pid))
        for _ in range(3):
            identity = struct.unpack("=i", attributes(self._socket.ask(GETNSID, 0, body)[0][1][4:])[NETNSA_NSID])[0]
            if identity >= 0:
                return identity
            automatic = attribute(NETNSA_NSID, struct.pack("=i", -1))
            try:
                self._socket.ask(NEWNSID, ACK, body + automatic)
            except Refused as error:
                if error.errno != errno.EEXIST:  # somebody else gave it one meanwhile
                    raise
        raise Refused(errno.EINVAL, "the namespace gets no id")
