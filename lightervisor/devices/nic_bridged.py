"""A nic plugged into a bridge: addresses and a name from the network's DHCP server, filters, VLANs.

Source: LXD, nictype bridged; lxc.container.conf(5), lxc.net.[i].
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface
from pathlib import Path

from lightervisor.config.types import Bool, any_of, is_true, list_of, one_of, subnet
from lightervisor.devices import nic_keys, nic_ports
from lightervisor.devices.device import InstanceFacts, Line, Options, device_scope
from lightervisor.devices.nic import subnets
from lightervisor.devices.nic_cable import Cable, CableNic
from lightervisor.devices.ports import BridgePort, HostEntry
from lightervisor.errors import HostError, Invalid
from lightervisor.firewall import nft, nic_rules
from lightervisor.kernel import process
from lightervisor.kernel.netlink import Netlink

MORE_ROUTES = ("ipv4.routes.external", "ipv6.routes.external")
ADDRESSES = ("ipv4.address", "ipv6.address")
FILTERS = ("security.mac_filtering", "security.ipv4_filtering", "security.ipv6_filtering")
LIVE = (*nic_keys.LIMITS, *nic_keys.ROUTES, *MORE_ROUTES, *ADDRESSES, *FILTERS)


class BridgedNic(CableNic, type="nic", variant="bridged"):
    """Needs a BridgePort as its resource, or `parent` for a bridge that is not managed."""

    KEYS = nic_keys.declare(
        device_scope("nic", "bridged"),
        ("network", "parent", *nic_keys.COMMON, *nic_keys.CABLE, *nic_keys.MAAS),
        ("vlan", any_of("VLAN", one_of("none"), nic_keys.Vlan), "", "VLAN of untagged packets"),
        ("vlan.tagged", list_of(nic_keys.VlanRange), "", "VLANs to join, tagged"),
        nic_keys.bridged_address(4),
        nic_keys.bridged_address(6),
        ("ipv4.routes.external", list_of(subnet(4)), "", "As ipv4.routes; would be announced to other routers"),
        ("ipv6.routes.external", list_of(subnet(6)), "", "As ipv6.routes; would be announced to other routers"),
        ("security.mac_filtering", Bool, "false", "Drop packets from other MAC addresses"),
        ("security.ipv4_filtering", Bool, "false", "Drop packets from other IPv4 addresses"),
        ("security.ipv6_filtering", Bool, "false", "Drop packets from other IPv6 addresses"),
        ("security.port_isolation", Bool, "false", "No packets between isolated ports of the bridge"),
        live=LIVE,
    )
    LIVE = LIVE

    def __init__(self, name: str, options: Options, instance: InstanceFacts, resource: object | None = None) -> None:
        super().__init__(name, options, instance, resource)
        self._port = resource if isinstance(resource, BridgePort) else BridgePort(bridge=options.get("parent", ""))

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid for options that exclude each other or are missing."""
        super().validate(name, options)
        for version in ("ipv4", "ipv6"):
            filtering = f"security.{version}_filtering"
            if options.get(f"{version}.address") == "none" and not is_true(options.get(filtering)):
                raise Invalid("device", name, text=f"Cannot have {version}.address as none unless using {filtering}")
        if options.get("vlan.tagged") and any(is_true(options.get(one)) for one in FILTERS):
            raise Invalid("device", name, text="IP filtering cannot be used with VLAN filtering")
        if options.get("vlan") == "0":
            raise Invalid("device", name, text="VLAN ID 0 is not allowed for native Linux bridges")

    def check_host(self) -> None:
        """Raise Invalid when an address cannot be this nic's, or the bridge lacks what is asked of it."""
        for option in ADDRESSES:
            if self.options.get(option) and self.options[option] != "none":
                self._check_address(option, self.options[option])
        hosts = self._port.hosts
        known = self.options.get("hwaddr", "").lower()
        if hosts and known and (owner := hosts.owner_of(known)) not in ("", self.label):
            text = f'MAC address "{known}" already defined on another NIC'
            raise Invalid("device", self.name, text=text, remedy=f"it is that of {owner}")
        self._check_alone()
        if self.options.get("vlan") or self.options.get("vlan.tagged"):
            nic_ports.check_vlans(self._port.bridge, is_managed=bool(self._port.network))

    def _check_alone(self) -> None:
        """Raise Invalid where the instance has another nic on this network and VLAN: DNS could not tell them apart."""
        if not self._port.hosts or self._port.config.get("dns.mode", "managed") == "none":
            return
        for name, options in self.instance.devices.items():
            if options.get("vlan") != self.options.get("vlan"):
                continue
            if name != self.name and options.get("type") == "nic" and self._port.network in (
                options.get("network"), options.get("parent") if options.get("nictype") == "bridged" else None
            ):  # fmt: skip
                text = f'Instance DNS name "{self.instance.name}" already used on network'
                remedy = f"the device {name} is on it; set dns.mode=none on the network, or use another one"
                raise Invalid("device", self.name, text=text, remedy=remedy)

    def _check_address(self, option: str, wanted: str) -> None:
        config, network, version = self._port.config, self._port.network, option[:4]
        is_filtered = is_true(self.options.get(f"security.{version}_filtering"))
        if not network:
            if not is_filtered:
                text = f"Cannot use manually specified {option} when using unmanaged parent bridge"
                raise Invalid("device", self.name, text=text)
            return
        gives = "/" in config.get(option, "") and is_true(config.get(f"{version}.dhcp") or "true")
        words = "DHCP is"
        if version == "ipv6":
            gives, words = gives and is_true(config.get("ipv6.dhcp.stateful")), 'DHCP or "ipv6.dhcp.stateful" are'
        if not gives and not is_filtered:
            unless = f"(unless using security.{version}_filtering)"
            text = f'Cannot specify "{option}" when {words} disabled {unless} on network "{network}"'
            remedy = f"lxc network set {network} {version}.dhcp{'.stateful' if version == 'ipv6' else ''} true"
            raise Invalid("device", self.name, text=text, remedy=remedy)
        if "/" not in config.get(option, ""):
            return
        subnet_of_bridge = ip_interface(config[option])
        if ip_address(wanted) == subnet_of_bridge.ip:
            text = f'IP address "{wanted}" is assigned to parent managed network device "{self._port.bridge}"'
            raise Invalid("device", self.name, text=text)
        if ip_address(wanted) not in subnet_of_bridge.network:
            text = f'Device IP address "{wanted}" not within network "{network}" subnet'
            raise Invalid("device", self.name, text=text, remedy=f"the subnet is {config[option]}")
        owner = self._port.hosts.owner_of(wanted) if self._port.hosts else ""
        if owner not in ("", self.label):
            text = f'IP address "{wanted}" already defined on another NIC'
            raise Invalid("device", self.name, text=text, remedy=f"it is that of {owner}")

    # The cable

    @property
    def mtu(self) -> int | None:
        """As asked for, or as the network's."""
        return super().mtu or self._port.mtu

    def prepare(self, host: Netlink, cable: Cable) -> Mapping[str, str]:
        """Reserve the name and addresses, and have the filter in place before there is anything to be filtered."""
        if host.link(self._port.bridge) is None:
            raise Invalid("device", self.name, text=f'Parent device "{self._port.bridge}" doesn\'t exist')
        if self.options.get("vlan") or self.options.get("vlan.tagged"):
            nic_ports.enable_vlans(self._port.bridge)
        entry = self._reserve(cable.hwaddr)
        if self._is_filtered:
            self._filter(cable.host_name, entry)
        return {}

    def cable_lines(self, cable: Cable) -> Iterable[Line]:
        """The bridge and its VLANs."""
        yield "link", self._port.bridge
        if self.options.get("vlan"):
            yield "veth.vlan.id", self.options["vlan"]
        for vlan in nic_ports.numbers(self.options.get("vlan.tagged", "")):
            yield "veth.vlan.tagged.id", str(vlan)

    def attach(self, host: Netlink, cable: Cable) -> None:
        """Plug in, and what liblxc does with veth.vlan.id and veth.vlan.tagged.id. Source: bridge(8)."""
        host.set(cable.host_name, master=self._port.bridge)
        untagged = self.options.get("vlan", "")
        commands = [["del", "vid", "1"]] if untagged else []
        if untagged and untagged != "none":
            commands.append(["add", "vid", untagged, "pvid", "untagged"])
        commands += [["add", "vid", str(vlan)] for vlan in nic_ports.numbers(self.options.get("vlan.tagged", ""))]
        for verb, *words in commands:
            process.run(["bridge", "vlan", verb, "dev", cable.host_name, *words])

    def settle(self, host: Netlink, host_name: str) -> None:
        """Isolation, and hairpins for proxies by NAT, too."""
        super().settle(host, host_name)
        if is_true(self.options.get("security.port_isolation")):
            try:
                (Path("/sys/class/net") / host_name / "brport/isolated").write_text("1")
            except OSError as error:
                raise HostError("device", self.name, cause=f"port isolation: {error.strerror}") from error
        if any(is_true(one.get("nat")) for one in self.instance.devices.values() if one.get("type") == "proxy"):
            nic_ports.reflect(host_name)

    def clear(self, host: Netlink) -> None:
        """Routes, filter and the name; a reserved address stays reserved."""
        self.set_routes(host, "", self.options, {})
        if self._is_filtered:
            nft.remove(nic_rules.filtering(self.rules_label))
        if self._port.hosts and not self._keeps_reservation:
            self._port.hosts.remove(self.label)

    def route_link(self, host_name: str) -> str:
        """The bridge."""
        return self._port.bridge

    def routes(self, options: Options) -> set[str]:
        """Those that would be announced, too."""
        return super().routes(options) | {str(one) for one in subnets(*(options.get(name, "") for name in MORE_ROUTES))}

    def follow(self, host: Netlink, old: Options) -> None:
        """Reserve the other addresses, and filter what the new options say."""
        entry = self._reserve(self.hwaddr)
        host_name = self.volatile("host_name")
        if host_name and self._is_filtered:
            self._filter(host_name, entry)
        elif any(is_true(old.get(option)) for option in FILTERS):
            nft.remove(nic_rules.filtering(self.rules_label))

    # What outlives a stop

    def add(self) -> None:
        """Reserve the addresses if there are any."""
        if self._keeps_reservation:
            self._reserve(self.hwaddr)
        elif self._port.hosts:
            self._port.hosts.remove(self.label)

    def remove(self) -> None:
        """Forget the reservation and what was given out."""
        if self._port.hosts:
            hwaddr = self.options.get("hwaddr") or self.volatile("hwaddr")
            try:
                self._port.hosts.remove(self.label)
            finally:
                if hwaddr:
                    self._port.hosts.release(hwaddr)

    @property
    def _is_filtered(self) -> bool:
        return any(is_true(self.options.get(option)) for option in FILTERS)

    @property
    def _keeps_reservation(self) -> bool:
        return any(self._static(option) for option in ADDRESSES) or is_true(self.options.get(FILTERS[1]))

    def _static(self, option: str) -> str:
        value = self.options.get(option, "")
        return "" if value == "none" else value

    def _reserve(self, hwaddr: str) -> HostEntry:
        project = self.instance.project
        entry = HostEntry(
            owner=self.label,
            hwaddr=hwaddr,
            hostname=self.instance.name if project == "default" else f"{self.instance.name}.{project}",
            ipv4=self._static("ipv4.address"),
            ipv6=self._static("ipv6.address"),
        )
        if self._port.hosts is None:
            return entry
        wants_own = is_true(self.options.get("security.ipv4_filtering")) and not self.options.get("ipv4.address")
        return self._port.hosts.put(entry, choose=wants_own)

    # Filters

    def _filter(self, host_name: str, entry: HostEntry) -> None:
        """Have the rules that the options say. Raises Invalid where nobody knows which addresses are allowed."""
        sender = nic_rules.Sender(
            host_name=host_name,
            hwaddr=entry.hwaddr,
            ipv4=self._allowed4(entry) if is_true(self.options.get("security.ipv4_filtering")) else None,
            ipv6=self._allowed6(entry) if is_true(self.options.get("security.ipv6_filtering")) else None,
        )
        nft.replace(nic_rules.filtering(self.rules_label, sender))

    def _allowed4(self, entry: HostEntry) -> list[IPv4Network]:
        if self.options.get("ipv4.address") == "none":
            return []
        if not entry.ipv4:
            self._refuse_unknown("ipv4")
        return [IPv4Network(entry.ipv4), *(one for one in self._own_subnets() if isinstance(one, IPv4Network))]

    def _allowed6(self, entry: HostEntry) -> list[IPv6Network]:
        if self.options.get("ipv6.address") == "none":
            return []
        found = [one for one in self._own_subnets() if isinstance(one, IPv6Network)]
        bridge = self._port.config.get("ipv6.address", "")
        if entry.ipv6:
            return [IPv6Network(entry.ipv6), *found]
        if "/" in bridge:
            network = IPv6Network(bridge, strict=False)
            if network.prefixlen <= 64:
                return [IPv6Network(nic_rules.by_hwaddr(network, entry.hwaddr)), *found]
        elif self._port.network:
            return [IPv6Network(nic_rules.link_local(entry.hwaddr)), *found]
        return self._refuse_unknown("ipv6")

    def _refuse_unknown(self, version: str) -> list[IPv6Network]:
        text = f"security.{version}_filtering needs {version}.address where no managed network gives addresses"
        raise Invalid("device", self.name, text=text, remedy=f"set {version}.address, or none to drop all")

    def _own_subnets(self) -> Iterable[IPv4Network | IPv6Network]:
        options: Mapping[str, str] = self.options
        return subnets(*(options.get(one, "") for one in (*nic_keys.ROUTES, *MORE_ROUTES)))
