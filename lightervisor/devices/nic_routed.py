"""A cable to the host, which routes to the instance's addresses and, with a parent, answers for them on its link.

No bridge and no DHCP: the addresses are set inside. Source: LXD, nictype routed; ip-neighbour(8), proxies.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from lightervisor.config.types import Bool, address, is_true
from lightervisor.devices import nic_keys
from lightervisor.devices.device import Line, Options, device_scope
from lightervisor.devices.nic import first_duplicate, parts
from lightervisor.devices.nic_cable import Cable, CableNic
from lightervisor.errors import HostError, Invalid
from lightervisor.firewall import nft, nic_rules
from lightervisor.kernel import neighbours, sysfs
from lightervisor.kernel.netlink import Netlink
from lightervisor.kernel.rtnetlink import MAIN_TABLE, Ip, Subnet

VERSIONS = ("ipv4", "ipv6")
HOST_ADDRESS = {"ipv4": "169.254.0.1", "ipv6": "fe80::1"}
PROBE_S = 0.5


class RoutedNic(CableNic, type="nic", variant="routed"):
    """Takes `parent` if others on its link shall reach the instance."""

    KEYS = nic_keys.declare(
        device_scope("nic", "routed"),
        ("parent", "vlan", "gvrp", *nic_keys.COMMON, *nic_keys.CABLE),
        *(nic_keys.addresses(version) for version in (4, 6)),
        *((f"{one}.gateway", nic_keys.Gateway, "auto", "Whether the host is the gateway") for one in VERSIONS),
        *(
            (f"{one}.host_address", address(int(one[-1])), HOST_ADDRESS[one], "Address of the host's end")
            for one in VERSIONS
        ),
        *((f"{one}.host_table", nic_keys.Table, "", "One more routing table for the routes") for one in VERSIONS),
        *(
            (f"{one}.neighbor_probe", Bool, "true", "Ask on the parent's link whether an address is somebody's")
            for one in VERSIONS
        ),
        live=nic_keys.LIMITS,
    )
    LIVE = nic_keys.LIMITS
    NEEDS_PARENT = False
    HOST_SPEAKS_IPV6 = True

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid for options that need another one, and addresses that are there twice."""
        super().validate(name, options)
        if options.get("vlan") and not options.get("parent"):
            text = "The vlan setting can only be used when combined with a parent interface"
            raise Invalid("device", name, text=text)
        for version in VERSIONS:
            option = f"{version}.address"
            if twice := first_duplicate(parts(options.get(option, ""))):
                raise Invalid("device", name, text=f'Duplicate address "{twice}" in "{option}"')
            if options.get(f"{version}.routes") and not options.get(option):
                raise Invalid("device", name, text=f"{version}.routes requires {option} to be set")

    def check_host(self) -> None:
        """Raise Invalid where the parent would not pass packets on."""
        if not self.options.get("parent"):
            return
        self.check_parent()
        for version, key in (("ipv4", "forwarding"), ("ipv6", "forwarding"), ("ipv6", "proxy_ndp")):
            place = Path("/proc/sys/net") / version / "conf" / self.parent / key
            if self.addresses(version) and place.exists() and sysfs.number(place) != 1:
                wanted = f"net.{version}.conf.{self.parent}.{key}=1"
                text = f"Routed mode requires sysctl {wanted}"
                raise Invalid("device", self.name, text=text, remedy=f"sysctl -w {wanted}")

    def addresses(self, version: str) -> Sequence[Ip]:
        """The instance's addresses of a version."""
        return [ip_address(one) for one in parts(self.options.get(f"{version}.address", ""))]

    def prepare(self, host: Netlink, cable: Cable) -> Mapping[str, str]:
        """Have the parent, and see that nobody else has the addresses."""
        if not self.options.get("parent"):
            return {}
        more = self.make_parent()
        self._probe(host)
        return more

    def _probe(self, host: Netlink) -> None:
        if self.volatile("host_name"):
            return  # it runs: who would answer is this host, for it
        asked = [one for version in VERSIONS if is_true(self.options.get(f"{version}.neighbor_probe") or "true")
                 for one in self.addresses(version)]  # fmt: skip
        link = host.link(self.parent)
        if not asked or link is None or not link.hwaddr or not link.is_up:
            return
        try:
            taken = neighbours.in_use(self.parent, link.hwaddr, asked, timeout_s=PROBE_S)
        except OSError as error:
            raise HostError("network interface", self.parent, cause=f"cannot be asked: {error.strerror}") from error
        if taken is not None:
            text = f'IP address "{taken}" in use on parent network "{self.parent}"'
            remedy = f"choose another one, or set ipv{taken.version}.neighbor_probe=false"
            raise Invalid("device", self.name, text=text, remedy=remedy)

    def cable_lines(self, cable: Cable) -> Iterable[Line]:
        """The addresses inside, each alone in its subnet, and the host as the gateway."""
        for version in VERSIONS:
            for one in self.addresses(version):
                yield f"{version}.address", f"{one}/{one.max_prefixlen}"
            if self.addresses(version) and self._is_gateway(version):
                yield f"{version}.gateway", str(self._host_address(version))

    def furnish(self, inside: Netlink, cable: Cable) -> None:
        """The same, in a running container."""
        super().furnish(inside, cable)
        for version in VERSIONS:
            for one in self.addresses(version):
                inside.add_address(cable.interface, ip_interface(one))
            if self.addresses(version) and self._is_gateway(version):
                everything = ip_network("0.0.0.0/0" if version == "ipv4" else "::/0")
                inside.add_route(cable.interface, everything, gateway=self._host_address(version))

    def settle(self, host: Netlink, host_name: str) -> None:
        """Addresses of the host's end, routes to the instance's, and answers for them on the parent's link."""
        for version in VERSIONS:
            if self.addresses(version):
                host.add_address(host_name, ip_interface(self._host_address(version)))
                _switch(version, host_name, "forwarding", "1")
        _switch("ipv6", host_name, "accept_ra", "0")
        nft.replace(nic_rules.reverse_path(self.rules_label, host_name))
        for one, table in self._tables():
            host.add_route(host_name, ip_network(one), table=table)
        super().settle(host, host_name)
        if self.options.get("parent"):
            for version in VERSIONS:
                for one in self.addresses(version):
                    host.add_proxy(self.parent, one)

    def gateway_of(self, route: Subnet) -> Ip | None:
        """The first address of the instance of the same version."""
        return self.addresses(f"ipv{route.version}")[0]

    def clear(self, host: Netlink) -> None:
        """No more answers on the parent's link; routes end with the cable."""
        nft.remove(nic_rules.reverse_path(self.rules_label))
        if self.options.get("parent"):
            for version in VERSIONS:
                for one in self.addresses(version):
                    host.delete_proxy(self.parent, one)
            self.remove_parent()

    def _tables(self) -> Iterable[tuple[Ip, int]]:
        for version in VERSIONS:
            table = self.options.get(f"{version}.host_table", "")
            for one in self.addresses(version):
                yield one, MAIN_TABLE
                if table:
                    yield one, int(table)

    def _is_gateway(self, version: str) -> bool:
        return (self.options.get(f"{version}.gateway") or "auto") == "auto"

    def _host_address(self, version: str) -> Ip:
        return ip_address(self.options.get(f"{version}.host_address") or HOST_ADDRESS[version])


def _switch(version: str, interface: str, key: str, value: str) -> None:
    try:
        (Path("/proc/sys/net") / version / "conf" / interface / key).write_text(value)
    except OSError as error:
        if version == "ipv4":  # a kernel without IPv6 has no such file, and no such address
            raise HostError("network interface", interface, cause=f"{key}: {error.strerror}") from error
