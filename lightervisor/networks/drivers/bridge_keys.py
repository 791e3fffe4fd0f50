"""The configuration keys of bridges. Source: LXD 5.0, network configuration."""

from lightervisor.config.key import Key, key
from lightervisor.config.types import (
    Blob,
    Bool,
    Checked,
    MacAddress,
    Text,
    ValueType,
    address,
    any_of,
    integer,
    list_of,
    matching,
    one_of,
    subnet,
)

SCOPE = "network.bridge"
Automatic = one_of("none", "auto")
DhcpExpiry = matching("duration", r"\d+[smhdw]?|infinite", "Invalid expiry {value!r}")
Domain = matching("domain", r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", "Invalid domain {value!r}")
Interface = matching("interface", r"[-_a-zA-Z0-9.:@]{1,15}", "Invalid interface name {value!r}")


def _range(version: int) -> ValueType:
    part = r"[0-9.]+" if version == 4 else r"[0-9A-Fa-f:.]+"
    single = address(version)
    shape = matching("address range", rf"{part}( *- *{part})?", "Invalid IP range {value!r}")

    def check(value: str) -> None:
        shape.check(value)
        for end in value.split("-"):
            single.check(end.strip())

    return Checked(f"IPv{version} range", check)


def _family(version: int) -> list[Key]:
    ip = f"ipv{version}"
    table: list[tuple[str, ValueType, str, str]] = [
        ("address", any_of("subnet", Automatic, subnet(version)), "", f"IPv{version} address and prefix of the bridge"),
        ("nat", Bool, "false", "Hide the addresses of instances behind the host's"),
        ("nat.address", address(version), "", "Source address of outgoing packets"),
        ("nat.order", one_of("before", "after"), "before", "Place of the NAT rules; nftables needs none"),
        ("dhcp", Bool, "true", "Give out addresses"),
        ("dhcp.expiry", DhcpExpiry, "1h", "How long a lease lasts"),
        ("dhcp.ranges", list_of(_range(version)), "", "Addresses to give out: A-B, C-D; else all"),
        ("firewall", Bool, "true", "Add rules that let the network's packets through"),
        ("routing", Bool, "true", "Route packets in and out of the bridge"),
        ("routes", list_of(subnet(version)), "", "More subnets that are behind the bridge"),
        ("ovn.ranges", list_of(_range(version)), "", "Addresses for routers of OVN networks"),
    ]
    found = [
        key(f"{ip}.{name}", kind, scope=SCOPE, default=default, live=True, group=ip, help=text)
        for name, kind, default, text in table
    ]
    if version == 4:
        found.append(key("ipv4.dhcp.gateway", address(4), scope=SCOPE, live=True, group=ip, help="Gateway to announce"))
    else:
        text = "Give out addresses; else instances choose their own"
        found.append(key("ipv6.dhcp.stateful", Bool, scope=SCOPE, default="false", live=True, group=ip, help=text))
    return found


KEYS: tuple[Key, ...] = (
    *_family(4),
    *_family(6),
    *(
        key(name, kind, scope=SCOPE, default=default, live=True, group=name.partition(".")[0], help=text)
        for name, kind, default, text in (
            ("bridge.driver", one_of("native", "openvswitch"), "native", "What forwards: the kernel's bridge"),
            ("bridge.external_interfaces", list_of(Interface), "", "Host interfaces to plug in, without addresses"),
            ("bridge.hwaddr", MacAddress, "", "MAC address of the bridge"),
            ("bridge.mode", one_of("standard", "fan"), "standard", "How the bridge gets its subnet"),
            ("bridge.mtu", integer(68, 65535), "1500", "Largest packet"),
            ("dns.domain", Domain, "lxd", "Domain of the instances' names"),
            ("dns.mode", one_of("managed", "dynamic", "none"), "managed", "Names from us, from the guests, or none"),
            ("dns.search", list_of(Domain), "", "Domains that guests search"),
            ("dns.zone.forward", list_of(Text), "", "DNS zone of forward records"),
            ("dns.zone.reverse.ipv4", Text, "", "DNS zone of IPv4 reverse records"),
            ("dns.zone.reverse.ipv6", Text, "", "DNS zone of IPv6 reverse records"),
            ("fan.overlay_subnet", subnet(4), "240.0.0.0/8", "Subnet of the FAN"),
            ("fan.type", one_of("vxlan", "ipip"), "vxlan", "Tunnel of the FAN"),
            ("fan.underlay_subnet", any_of("subnet", Automatic, subnet(4)), "auto", "Subnet below the FAN"),
            ("bgp.ipv4.nexthop", address(4), "", "Next hop of announced prefixes"),
            ("bgp.ipv6.nexthop", address(6), "", "Next hop of announced prefixes"),
            ("bgp.peers.*", Text, "", "BGP peers"),
            ("tunnel.*", Text, "", "Tunnels to other hosts"),
            ("maas.subnet.ipv4", Text, "", "MAAS subnet"),
            ("maas.subnet.ipv6", Text, "", "MAAS subnet"),
            ("security.acls", list_of(Text), "", "ACLs of the network"),
            ("security.acls.default.ingress.action", one_of("allow", "reject", "drop"), "reject", "Without a match"),
            ("security.acls.default.egress.action", one_of("allow", "reject", "drop"), "reject", "Without a match"),
            ("security.acls.default.ingress.logged", Bool, "false", "Log what matches nothing"),
            ("security.acls.default.egress.logged", Bool, "false", "Log what matches nothing"),
            ("raw.dnsmasq", Blob, "", "Lines added to dnsmasq's configuration"),
            ("user.*", Blob, "", "Free for the user"),
            ("volatile.*", Text, "", "Kept by the daemon"),
        )
    ),
)
