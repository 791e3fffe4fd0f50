"""An interface of the host, given to one instance as it is. Source: LXD, network type physical."""

from collections.abc import Mapping, Sequence

from lightervisor.config.types import Bool, Text, is_true, list_of, one_of, subnet
from lightervisor.devices import vlan_links
from lightervisor.kernel.netlink import Netlink
from lightervisor.networks import uplink
from lightervisor.networks.driver import Subnet
from lightervisor.networks.uplink import Uplink

CREATED = "volatile.last_state.created"
USUAL_MTU = 1500


class Physical(Uplink, name="physical"):
    """The parent, or the interface for a VLAN of it, which is made if it is missing."""

    OWNS_PARENT = True
    KEYS = uplink.declare(
        "physical",
        [
            ("gvrp", Bool, "false", "Register the VLAN by GVRP"),
            ("bgp.peers.*", Text, "", "BGP peers"),
            ("dns.nameservers", list_of(Text), "", "DNS servers, for OVN networks"),
            ("ipv4.gateway", subnet(4), "", "Gateway, for OVN networks"),
            ("ipv6.gateway", subnet(6), "", "Gateway, for OVN networks"),
            ("ipv4.ovn.ranges", list_of(Text), "", "Addresses for routers of OVN networks"),
            ("ipv6.ovn.ranges", list_of(Text), "", "Addresses for routers of OVN networks"),
            ("ipv4.routes", list_of(subnet(4)), "", "Subnets that OVN networks may use"),
            ("ipv6.routes", list_of(subnet(6)), "", "Subnets that OVN networks may use"),
            ("ipv4.routes.anycast", Bool, "false", "Let OVN networks share these subnets"),
            ("ipv6.routes.anycast", Bool, "false", "Let OVN networks share these subnets"),
            ("ovn.ingress_mode", one_of("l2proxy", "routed"), "l2proxy", "How OVN networks are reached"),
        ],
    )

    @classmethod
    def fill(
        cls, config: Mapping[str, str], taken: Sequence[Subnet], old: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Remember whether the interface of the VLAN is there already: then it stays when the network goes."""
        filled, wanted = dict(config), _link(config)
        if old is None or _link(old) != wanted:
            filled[CREATED] = str(wanted != config.get("parent") and not _exists(wanted)).lower()
        return filled

    def start(self, old: Mapping[str, str] | None = None) -> list[str]:
        """The interface of the VLAN, and the largest packet."""
        warnings = super().start(old)
        if old is not None and _link(old) != self.interface:
            _stop(old)
        vlan_links.ensure(self.plan.config, self.interface)
        mtu = self.plan.config.get("mtu", "")
        if mtu or (old or {}).get("mtu"):
            with Netlink() as host:
                host.set(self.interface, mtu=int(mtu or USUAL_MTU))
        return warnings

    def stop(self) -> None:
        """Remove the interface of the VLAN if it is ours; the largest packet is the usual one again, as in LXD."""
        _stop(self.plan.config)


def _link(config: Mapping[str, str]) -> str:
    return vlan_links.name(config.get("parent", ""), config.get("vlan", ""))


def _exists(name: str) -> bool:
    with Netlink() as host:
        return host.link(name) is not None


def _stop(config: Mapping[str, str]) -> None:
    link = _link(config)
    if is_true(config.get(CREATED)):
        vlan_links.remove(link)
    if config.get("mtu") and _exists(link):
        with Netlink() as host:
            host.set(link, mtu=USUAL_MTU)
