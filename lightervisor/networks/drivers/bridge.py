"""A bridge of our own with DHCP, DNS, router advertisements, routing and NAT. Source: LXD, network type bridge."""

import os
import random
import shutil
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

from lightervisor.config.types import is_true
from lightervisor.devices.ports import BridgePort
from lightervisor.errors import HostError, Invalid, Unsupported
from lightervisor.firewall import foreign, network_rules, nft
from lightervisor.kernel.netlink import Netlink
from lightervisor.model.network import NetworkLease
from lightervisor.networks import subnets
from lightervisor.networks.driver import NetworkDriver, Plan, Subnet
from lightervisor.networks.drivers import bridge_keys, dnsmasq, sysctl

EXTERNAL = "bridge.external_interfaces"
LATER = ("tunnel.", "fan.", "bgp.", "maas.", "security.acls", "dns.zone.", "ipv4.ovn.", "ipv6.ovn.")


class Bridge(NetworkDriver, name="bridge"):
    """A Linux bridge, a dnsmasq beside it, and nftables rules."""

    KEYS = bridge_keys.KEYS

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._ipv4 = _interface4(plan.config)
        self._ipv6 = _interface6(plan.config)

    @classmethod
    def fill(
        cls, config: Mapping[str, str], taken: Sequence[Subnet], old: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Choose automatic subnets; a new network gets them with NAT unless told otherwise."""
        filled = dict(config)
        if old is None:
            filled.setdefault("ipv4.address", "auto")
            filled.setdefault("ipv6.address", "auto" if sysctl.has_ipv6() else "none")
            if not filled.get("bridge.hwaddr"):
                filled.setdefault("volatile.bridge.hwaddr", _random_hwaddr())
        used = [*taken, *subnets.in_use()] if "auto" in (filled.get("ipv4.address"), filled.get("ipv6.address")) else []
        if filled.get("ipv4.address") == "auto":
            filled["ipv4.address"] = str(subnets.free_ipv4(used))
            filled.setdefault("ipv4.nat", "true")
        if filled.get("ipv6.address") == "auto":
            filled["ipv6.address"] = str(subnets.free_ipv6(used))
            filled.setdefault("ipv6.nat", "true")
        return filled

    @classmethod
    def check(cls, name: str, config: Mapping[str, str], taken: Sequence[Subnet]) -> None:
        """Refuse what does not fit together, subnets that somebody else has, and what is not built yet."""
        _check_supported(config)
        for key in ("ipv4", "ipv6"):
            address = _interface(config, key)
            if address is None:
                if is_true(config.get(f"{key}.nat")) and config.get(f"{key}.nat.address"):
                    raise Invalid("network", name, text=f"{key}.nat.address needs {key}.address")
                continue
            _check_subnet(name, f"{key}.address", address, taken)
            _check_ranges(f"{key}.dhcp.ranges", config.get(f"{key}.dhcp.ranges", ""), address)
        v6 = _interface6(config)
        if v6 and v6.network.prefixlen != 64 and not is_true(config.get("ipv6.dhcp.stateful")):
            raise Invalid("network", name, text="ipv6.address must be a /64 unless ipv6.dhcp.stateful is true")
        if v6 and 0 < int(config.get("bridge.mtu") or 0) < 1280:
            raise Invalid("network", name, text="The minimum MTU for an interface with IPv6 is 1280")

    def start(self, old: Mapping[str, str] | None = None) -> list[str]:
        """Bridge, addresses, routes, rules and dnsmasq, each only as far as it differs."""
        config, name = self.plan.config, self.plan.name
        with Netlink() as host:
            fresh = self._make_bridge(host)
            warnings = sysctl.prepare(name, ipv4=self._routes_packets("ipv4"), ipv6=self._routes_packets("ipv6"),
                                      has_ipv6=self._ipv6 is not None)  # fmt: skip
            host.set(name, up=True)
            fresh |= self._set_addresses(host)
            self._set_routes(host, old or {})
            warnings += self._set_externals(host, old or {})
        warnings += self._set_firewall()
        service = dnsmasq.Service(
            bridge=name, directory=self.plan.directory, config=config, ipv4=self._ipv4, ipv6=self._ipv6
        )
        if self._ipv4 or self._ipv6:
            dnsmasq.ensure(service, fresh=fresh)
        else:
            dnsmasq.stop(self.plan.directory)
        return warnings

    def service(self) -> int | None:
        """dnsmasq."""
        with dnsmasq.running(self.plan.directory) as pidfd:
            return None if pidfd is None else os.dup(pidfd)

    def stop(self) -> None:
        """Stop dnsmasq, remove rules and the bridge; its ports stay, unplugged."""
        dnsmasq.stop(self.plan.directory)
        nft.remove(network_rules.ruleset(self.plan.name))
        foreign.withdraw(self.plan.name)
        with Netlink() as host:
            link = host.link(self.plan.name)
            if link is not None and link.kind == "bridge":
                host.delete(self.plan.name)

    def delete(self) -> None:
        """Stop, and remove the directory."""
        self.stop()
        shutil.rmtree(self.plan.directory, ignore_errors=True)

    def rename(self, new: Plan) -> None:
        """Move the directory."""
        if self.plan.directory.exists():
            shutil.rmtree(new.directory, ignore_errors=True)
            self.plan.directory.rename(new.directory)

    def leases(self) -> list[NetworkLease]:
        """The bridge's own addresses as type "gateway", then dnsmasq's leases."""
        gateway = f"{self.plan.name}.gw"
        own = [
            NetworkLease(hostname=gateway, address=str(one.ip), type="gateway")
            for one in (self._ipv4, self._ipv6)
            if one is not None
        ]
        return own + dnsmasq.leases(self.plan.directory)

    def waits_for(self, interface: str) -> bool:
        """An interface that is to be plugged in."""
        return interface in _names(self.plan.config.get(EXTERNAL, ""))

    def port(self) -> BridgePort:
        """Where a nic is plugged in."""
        config = self.plan.config
        named = config.get("dns.mode", "managed") == "managed"
        return BridgePort(
            bridge=self.plan.name,
            network=self.plan.name,
            mtu=int(config["bridge.mtu"]) if config.get("bridge.mtu") else None,
            config=config,
            hosts=self._hosts(named=named) if self._ipv4 or self._ipv6 else None,
        )

    def _hosts(self, *, named: bool) -> dnsmasq.HostsDirectory:
        return dnsmasq.HostsDirectory(
            self.plan.directory,
            named=named,
            bridge=self.plan.name,
            server=self._ipv4.ip if self._ipv4 else None,
            ranges=dnsmasq.ranges4(self.plan.config, self._ipv4) if self._ipv4 else (),
        )

    @property
    def _hwaddr(self) -> str:
        config = self.plan.config
        return (config.get("bridge.hwaddr") or config.get("volatile.bridge.hwaddr", "")).lower()

    def _routes_packets(self, version: str) -> bool:
        return _interface(self.plan.config, version) is not None and _flag(self.plan.config, f"{version}.routing")

    def _make_bridge(self, host: Netlink) -> bool:
        name, mtu = self.plan.name, int(self.plan.config.get("bridge.mtu") or 1500)
        link = host.link(name)
        if link is None:
            host.create_bridge(name, hwaddr=self._hwaddr, mtu=mtu)
            return True
        if link.kind != "bridge":
            raise HostError("network interface", name, cause="exists already and is not a bridge")
        if link.mtu != mtu:
            host.set(name, mtu=mtu)
        if self._hwaddr and link.hwaddr != self._hwaddr:
            host.set(name, hwaddr=self._hwaddr)
        return False

    def _set_addresses(self, host: Netlink) -> bool:
        """Give the bridge exactly our addresses but link-local ones; true when something was changed."""
        name, link = self.plan.name, host.link(self.plan.name)
        present = {
            ip_interface(f"{one.address}/{one.prefix}")
            for one in host.addresses(link.index if link else None)
            if one.scope == "global"
        }
        wanted = {one for one in (self._ipv4, self._ipv6) if one is not None}
        for address in present - wanted:
            host.delete_address(name, address)
        for address in wanted - present:
            host.add_address(name, address)
        return present != wanted

    def _set_routes(self, host: Netlink, old: Mapping[str, str]) -> None:
        for key in ("ipv4.routes", "ipv6.routes"):
            wanted = _subnets(self.plan.config.get(key, ""))
            for subnet in _subnets(old.get(key, "")) - wanted:
                host.delete_route(self.plan.name, subnet)
            for subnet in wanted:
                host.add_route(self.plan.name, subnet)

    def _set_externals(self, host: Netlink, old: Mapping[str, str]) -> list[str]:
        wanted, before = _names(self.plan.config.get(EXTERNAL, "")), _names(old.get(EXTERNAL, ""))
        warnings: list[str] = []
        for name in before - wanted:
            if host.link(name) is not None:
                host.set(name, master="")
        for name in sorted(wanted):
            link = host.link(name)
            if link is None:
                text = f'External interface "{name}" does not exist'
                if EXTERNAL in self.plan.asked:
                    raise HostError("network interface", name, text=text)
                warnings.append(f"{text}; it is plugged in when it comes")
                continue
            if link.master and link.master == _index(host, self.plan.name):
                continue
            if any(one.scope == "global" for one in host.addresses(link.index)):
                text = "Only unconfigured network interfaces can be bridged"
                raise Invalid("network interface", name, text=text, remedy=f"remove the addresses of {name}")
            host.set(name, master=self.plan.name, up=True)
        return warnings

    def _set_firewall(self) -> list[str]:
        families = [self._family("ipv4"), self._family("ipv6")]
        try:
            nft.replace(network_rules.ruleset(self.plan.name, families))
        except HostError as error:
            if self.plan.asked & {"ipv4.nat", "ipv6.nat"} and self._nat_wanted():
                raise
            if not self._nat_wanted():
                return []
            return [f"instances on network {self.plan.name} have no NAT and reach no other network: {error.message()}"]
        return foreign.admit(self.plan.name, {one.version for one in families if one.firewall and one.subnet})

    def _nat_wanted(self) -> bool:
        return any(is_true(self.plan.config.get(key)) for key in ("ipv4.nat", "ipv6.nat"))

    def _family(self, version: str) -> network_rules.Family:
        config, address = self.plan.config, _interface(self.plan.config, version)
        return network_rules.Family(
            version=int(version[-1]),
            subnet=address.network if address else None,
            firewall=_flag(config, f"{version}.firewall"),
            routing=_flag(config, f"{version}.routing"),
            dhcp=_flag(config, f"{version}.dhcp"),
            nat=is_true(config.get(f"{version}.nat")),
            nat_address=config.get(f"{version}.nat.address", ""),
        )


def _flag(config: Mapping[str, str], key: str) -> bool:
    return is_true(config.get(key) or "true")


def _index(host: Netlink, name: str) -> int:
    link = host.link(name)
    return link.index if link else 0


def _names(value: str) -> set[str]:
    return {part.strip() for part in value.split(",") if part.strip()}


def _subnets(value: str) -> set[Subnet]:
    return {ip_network(part, strict=False) for part in _names(value)}


def _interface(config: Mapping[str, str], version: str) -> IPv4Interface | IPv6Interface | None:
    return _interface4(config) if version == "ipv4" else _interface6(config)


def _interface4(config: Mapping[str, str]) -> IPv4Interface | None:
    value = config.get("ipv4.address", "")
    return IPv4Interface(value) if "/" in value else None


def _interface6(config: Mapping[str, str]) -> IPv6Interface | None:
    value = config.get("ipv6.address", "")
    return IPv6Interface(value) if "/" in value else None


def _random_hwaddr() -> str:
    source = random.SystemRandom()
    return "00:16:3e:" + ":".join(f"{source.randrange(256):02x}" for _ in range(3))


def _check_supported(config: Mapping[str, str]) -> None:
    for key, value in config.items():
        if value and (key.startswith(LATER) or (key == "bridge.driver" and value != "native")
                      or (key == "bridge.mode" and value != "standard")):  # fmt: skip
            raise Unsupported("network option", key, cause=f"{key}={value} is not supported by this server")


def _check_subnet(name: str, key: str, address: IPv4Interface | IPv6Interface, taken: Sequence[Subnet]) -> None:
    network = address.network
    if address.ip == network.network_address and network.prefixlen < network.max_prefixlen - 1:
        remedy = f"for example {key}={network.network_address + 1}/{network.prefixlen}"
        text = (
            f'Invalid value for network "{name}" option "{key}": Not a usable IPv{network.version} address "{address}"'
        )
        raise Invalid("network", name, text=text, remedy=remedy)
    for other in taken:
        if other.version == network.version and network.overlaps(other):  # type: ignore[arg-type] # same version
            raise Invalid("network", name, text=f"{key}: {network} overlaps with {other} of another network")
    if owner := subnets.owner_of(address, but=name):
        remedy = f"choose another subnet, or {key}=auto"
        raise Invalid(
            "network", name, text=f"{key}: {network} is in use by the host's interface {owner}", remedy=remedy
        )


def _check_ranges(key: str, value: str, address: IPv4Interface | IPv6Interface) -> None:
    for first, last in dnsmasq.split_ranges(value):
        for end in (first, last):
            if ip_address(end) not in address.network:
                raise Invalid("network", text=f"{key}: {end} is not in the subnet {address.network}")
