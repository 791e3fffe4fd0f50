"""A nic plugged into a bridge: liblxc makes the cable, which is quicker than making it here and moving it.

Source: LXD, nictype bridged; lxc.container.conf(5), lxc.net.[i].
"""

import contextlib
import secrets
from collections.abc import Mapping
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from lightervisor.config import sizes
from lightervisor.config.key import key
from lightervisor.config.names import RESERVED_INTERFACES
from lightervisor.config.types import (
    Bool,
    Checked,
    Int,
    MacAddress,
    Text,
    address,
    any_of,
    integer,
    is_true,
    list_of,
    matching,
    one_of,
    subnet,
)
from lightervisor.devices import nic_limits, nic_ports
from lightervisor.devices.device import Device, DeviceStart, InstanceFacts, Line, Options, Slot, device_scope
from lightervisor.devices.ports import BridgePort, HostEntry
from lightervisor.errors import Conflict, HostError, Invalid
from lightervisor.kernel import guests, process
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.netlink import Netlink

SCOPE = device_scope("nic", "bridged")
InterfaceName = matching(
    "interface name",
    rf"(?!(\.{{1,2}}|{'|'.join(RESERVED_INTERFACES)})$)[-_a-zA-Z0-9.]{{2,15}}",
    "Invalid interface name {value!r}",
)


def _check_bits(value: str) -> None:
    sizes.parse_bits(value)


Bits = Checked("bits per second", _check_bits)
Vlan = any_of("VLAN", one_of("none"), integer(0, 4094))
VlanRange = matching("VLAN or range", r"\d{1,4}(-\d{1,4})?", "Invalid VLAN {value!r}")
NOT_YET = (
    "security.mac_filtering", "security.ipv4_filtering", "security.ipv6_filtering", "ipv4.routes.external",
    "ipv6.routes.external", "maas.subnet.ipv4", "maas.subnet.ipv6",
)  # fmt: skip
LIVE = ("limits.ingress", "limits.egress", "limits.max", "ipv4.address", "ipv6.address", "ipv4.routes", "ipv6.routes")


class BridgedNic(Device, type="nic", variant="bridged"):
    """Needs a BridgePort as its resource, or `parent` for a bridge that is not managed."""

    ORDER = 0
    KEYS = tuple(
        key(name, kind, scope=SCOPE, live=name in LIVE, group="nic", help=text)
        for name, kind, text in (
            ("network", Text, "Managed network to plug into"),
            ("parent", InterfaceName, "Bridge of the host to plug into"),
            ("name", InterfaceName, "Name of the interface inside"),
            ("host_name", InterfaceName, "Name of the interface on the host"),
            ("hwaddr", MacAddress, "MAC address"),
            ("mtu", integer(68, 65535), "Largest packet"),
            ("vlan", Vlan, "VLAN of untagged packets"),
            ("vlan.tagged", list_of(VlanRange), "VLANs to join, tagged"),
            ("ipv4.address", any_of("address", one_of("none"), address(4)), "Address that DHCP gives this nic"),
            ("ipv6.address", any_of("address", one_of("none"), address(6)), "Address that DHCP gives this nic"),
            ("ipv4.routes", list_of(subnet(4)), "Subnets that the host routes to this nic"),
            ("ipv6.routes", list_of(subnet(6)), "Subnets that the host routes to this nic"),
            ("ipv4.routes.external", list_of(subnet(4)), "Subnets announced to other routers"),
            ("ipv6.routes.external", list_of(subnet(6)), "Subnets announced to other routers"),
            ("limits.ingress", Bits, "Most bits per second to the instance"),
            ("limits.egress", Bits, "Most bits per second from the instance"),
            ("limits.max", Bits, "Both limits at once"),
            ("security.mac_filtering", Bool, "Drop packets from other MAC addresses"),
            ("security.ipv4_filtering", Bool, "Drop packets from other IPv4 addresses"),
            ("security.ipv6_filtering", Bool, "Drop packets from other IPv6 addresses"),
            ("security.port_isolation", Bool, "No packets between isolated ports of the bridge"),
            ("maas.subnet.ipv4", Text, "MAAS subnet"),
            ("maas.subnet.ipv6", Text, "MAAS subnet"),
            ("boot.priority", Int, "Boot order, for virtual machines"),
        )
    )

    def __init__(self, name: str, options: Options, instance: InstanceFacts, resource: object | None = None) -> None:
        super().__init__(name, options, instance, resource)
        self._port = resource if isinstance(resource, BridgePort) else BridgePort(bridge=options.get("parent", ""))

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid for options that exclude each other or are missing."""
        if options.get("network"):
            for other in ("parent", "mtu"):
                if options.get(other):
                    text = f'Cannot use "{other}" property in conjunction with "network" property'
                    raise Invalid("device", name, text=text)
        elif not options.get("parent"):
            raise Invalid("device", name, text='Invalid value for device option "parent": Required value')
        for option in NOT_YET:
            if options.get(option) and options[option].lower() not in ("false", "0", "no", "off"):
                raise Invalid("device", name, text=f'The option "{option}" is not supported by this server yet')
        if "none" in (options.get("ipv4.address"), options.get("ipv6.address")):
            raise Invalid("device", name, text='An address of "none" needs filtering, which is not supported yet')

    def check_host(self) -> None:
        """Raise Invalid when the network cannot give out a reserved address."""
        config, network = self._port.config, self._port.network
        for option in ("ipv4.address", "ipv6.address"):
            wanted = self.options.get(option)
            if not wanted:
                continue
            if not network:
                text = f"Cannot use manually specified {option} when using unmanaged parent bridge"
                raise Invalid("device", self.name, text=text)
            if "/" not in config.get(option, "") or not is_true(config.get(f"{option[:4]}.dhcp") or "true"):
                text = f'Cannot specify "{option}" when DHCP is disabled on network "{network}"'
                raise Invalid("device", self.name, text=text)
            if option == "ipv6.address" and not is_true(config.get("ipv6.dhcp.stateful")):
                text = (
                    f'Cannot specify "{option}" when DHCP or "ipv6.dhcp.stateful" are disabled on network "{network}"'
                )
                raise Invalid(
                    "device", self.name, text=text, remedy=f"lxc network set {network} ipv6.dhcp.stateful true"
                )
            if ip_address(wanted) not in ip_interface(config[option]).network:
                text = f'Device IP address "{wanted}" not within network "{network}" subnet'
                raise Invalid("device", self.name, text=text, remedy=f"the subnet is {config[option]}")
            owner = self._port.hosts.owner_of(wanted) if self._port.hosts else ""
            if owner not in ("", self._owner):
                text = f'IP address "{wanted}" already defined on another NIC'
                raise Invalid("device", self.name, text=text, remedy=f"it is that of {owner}")

    def start(self, slot: Slot) -> DeviceStart:
        """Lines that make liblxc create the cable; reserves the nic's name and addresses before."""
        host_name, hwaddr, volatile = self._prepare(slot)
        lines = tuple((f"lxc.net.{slot.index}.{name}", value) for name, value in self._lines(slot, host_name, hwaddr))
        return DeviceStart(lines=lines, volatile=volatile, after_start=lambda _pid: self._settle(host_name))

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Create the cable as liblxc does at a start."""
        host_name, hwaddr, volatile = self._prepare(slot)
        with Netlink() as host:
            try:
                host.create_cable(host_name, slot.interface, guest.pid, hwaddr=hwaddr, mtu=self._mtu())
                host.set(host_name, master=self._port.bridge, up=True)
                guests.in_network(guest, lambda: _set_up(slot.interface))
                self._set_vlans(host_name)
                self._settle(host_name)
            except BaseException as error:
                host.delete(host_name)
                self.stop()
                if isinstance(error, OSError):
                    cause = f"network namespace: {error.strerror}"
                    raise HostError("device", self.name, cause=cause) from error
                raise
        return DeviceStart(volatile=volatile)

    def mend(self, guest: Guest) -> None:
        """After a reboot the cable is another one with the same name."""
        if host_name := self.instance.config.get(f"volatile.{self.name}.host_name"):
            self._settle(host_name)

    def _prepare(self, slot: Slot) -> tuple[str, str, dict[str, str]]:
        """Reserve what the nic needs: the name of its host end, its hardware address, and keys to keep."""
        host_name = self.options.get("host_name") or f"veth{secrets.token_hex(4)}"
        hwaddr = self._hwaddr()
        with Netlink() as host:
            if host.link(self._port.bridge) is None:
                raise Invalid("device", self.name, text=f'Parent device "{self._port.bridge}" doesn\'t exist')
            if host.link(host_name) is not None:
                raise Conflict("network interface", host_name, cause="exists already on this host")
        self._reserve(hwaddr)
        self._set_routes(self.options, {})
        volatile = {f"volatile.{self.name}.host_name": host_name}
        if not self.options.get("hwaddr"):
            volatile[f"volatile.{self.name}.hwaddr"] = hwaddr
        if not self.options.get("name"):
            volatile[f"volatile.{self.name}.name"] = slot.interface
        return host_name, hwaddr, volatile

    def _mtu(self) -> int | None:
        return int(self.options["mtu"]) if self.options.get("mtu") else self._port.mtu

    def _set_vlans(self, host_name: str) -> None:
        """What liblxc does with veth.vlan.id and veth.vlan.tagged.id. Source: bridge(8)."""
        untagged = self.options.get("vlan", "")
        commands = [["del", "vid", "1"]] if untagged else []
        if untagged and untagged != "none":
            commands.append(["add", "vid", untagged, "pvid", "untagged"])
        commands += [["add", "vid", str(vlan)] for vlan in _vlans(self.options.get("vlan.tagged", ""))]
        for verb, *words in commands:
            process.run(["bridge", "vlan", verb, "dev", host_name, *words])

    def _lines(self, slot: Slot, host_name: str, hwaddr: str) -> list[Line]:
        lines = [
            ("type", "veth"), ("flags", "up"), ("name", slot.interface), ("hwaddr", hwaddr),
            ("link", self._port.bridge), ("veth.pair", host_name),
        ]  # fmt: skip
        if mtu := self._mtu():
            lines.append(("mtu", str(mtu)))
        if self.options.get("vlan"):
            lines.append(("veth.vlan.id", self.options["vlan"]))
        lines += [("veth.vlan.tagged.id", str(vlan)) for vlan in _vlans(self.options.get("vlan.tagged", ""))]
        return lines

    def _settle(self, host_name: str) -> None:
        """What can be done once the host end exists: no addresses of its own, isolation, limits."""
        with contextlib.suppress(OSError):  # the instance may be gone already, or the kernel knows no IPv6
            (Path("/proc/sys/net/ipv6/conf") / host_name / "disable_ipv6").write_text("1")
        if is_true(self.options.get("security.port_isolation")):
            try:
                (Path("/sys/class/net") / host_name / "brport/isolated").write_text("1")
            except OSError as error:
                raise HostError("device", self.name, cause=f"port isolation: {error.strerror}") from error
        if any(is_true(one.get("nat")) for one in self.instance.devices.values() if one.get("type") == "proxy"):
            nic_ports.reflect(host_name)
        if any(self.options.get(option) for option in ("limits.ingress", "limits.egress", "limits.max")):
            nic_limits.apply(host_name, self.options)

    def stop(self) -> None:
        """Remove the cable if liblxc has not, routes, and the name; a reserved address stays reserved."""
        host_name = self.instance.config.get(f"volatile.{self.name}.host_name", "")
        if host_name:
            with Netlink() as host:
                link = host.link(host_name)
                if link is not None and link.kind == "veth":
                    host.delete(host_name)
        self._set_routes({}, self.options)
        if self._port.hosts and not (self.options.get("ipv4.address") or self.options.get("ipv6.address")):
            self._port.hosts.remove(self._owner)

    def choose(self) -> Mapping[str, str]:
        """The hardware address, unless it is known."""
        key = f"volatile.{self.name}.hwaddr"
        return {} if self.options.get("hwaddr") or self.instance.config.get(key) else {key: self._hwaddr()}

    def add(self) -> None:
        """Reserve the addresses if there are any."""
        hwaddr = self._hwaddr()
        if self.options.get("ipv4.address") or self.options.get("ipv6.address"):
            self._reserve(hwaddr)
        elif self._port.hosts:
            self._port.hosts.remove(self._owner)

    def remove(self) -> None:
        """Forget the reservation and what was given out."""
        if self._port.hosts:
            self._port.hosts.remove(self._owner)
            hwaddr = self.options.get("hwaddr") or self.instance.config.get(f"volatile.{self.name}.hwaddr", "")
            if hwaddr:
                self._port.hosts.release(hwaddr)

    def update(self, options: Options) -> bool:
        """Limits, routes and reserved addresses follow at once; anything else needs remove and add."""
        changed = {name for name in {*options, *self.options} if options.get(name, "") != self.options.get(name, "")}
        if not changed.issubset(LIVE):
            return False
        old, self.options = self.options, dict(options)
        host_name = self.instance.config.get(f"volatile.{self.name}.host_name", "")
        if any(name.startswith("limits.") for name in changed) and host_name:
            nic_limits.apply(host_name, options)
        self._set_routes(options, old)
        self._reserve(self._hwaddr())
        return True

    @property
    def _owner(self) -> str:
        return f"{self.instance.label}.{self.name}"

    def _hwaddr(self) -> str:
        known = self.options.get("hwaddr") or self.instance.config.get(f"volatile.{self.name}.hwaddr")
        return (known or "00:16:3e:" + secrets.token_bytes(3).hex(":")).lower()

    def _reserve(self, hwaddr: str) -> None:
        if self._port.hosts is None:
            return
        project = self.instance.project
        self._port.hosts.put(
            HostEntry(
                owner=self._owner,
                hwaddr=hwaddr,
                hostname=self.instance.name if project == "default" else f"{self.instance.name}.{project}",
                ipv4=self.options.get("ipv4.address", ""),
                ipv6=self.options.get("ipv6.address", ""),
            )
        )

    def _set_routes(self, options: Mapping[str, str], old: Mapping[str, str]) -> None:
        wanted, before = _routes(options), _routes(old)
        if wanted == before:
            return
        with Netlink() as host:
            for route in before - wanted:
                host.delete_route(self._port.bridge, ip_network(route, strict=False))
            for route in wanted:
                try:
                    host.add_route(self._port.bridge, ip_network(route, strict=False))
                except HostError as error:
                    raise HostError("route", route, cause=error.cause) from error


def _set_up(interface: str) -> None:
    with Netlink() as inside:
        inside.set(interface, up=True)


def _routes(options: Mapping[str, str]) -> set[str]:
    values = f"{options.get('ipv4.routes', '')},{options.get('ipv6.routes', '')}"
    return {part.strip() for part in values.split(",") if part.strip()}


def _vlans(value: str) -> list[int]:
    found: list[int] = []
    for part in value.split(","):
        if part.strip():
            first, _, last = part.strip().partition("-")
            found += range(int(first), min(int(last or first), 4094) + 1)
    return found
