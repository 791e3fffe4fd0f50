"""What a bridge's configuration may hold, and what a new one gets."""

from ipaddress import ip_network

import pytest

from lightervisor.errors import Failure, Invalid, Unsupported
from lightervisor.networks.driver import check_keys, network_driver, network_drivers
from lightervisor.networks.drivers.bridge import Bridge


def test_the_driver_is_found_by_its_name() -> None:
    assert network_drivers()["bridge"] is Bridge
    with pytest.raises(Invalid, match='Unrecognised network type "bogus"'):
        network_driver("bogus")


def test_a_new_bridge_gets_subnets_with_nat() -> None:
    filled = Bridge.fill({"ipv6.address": "none"}, [])
    assert filled["ipv4.address"].endswith(".1/24")
    assert filled["ipv4.nat"] == "true"
    assert filled["ipv6.address"] == "none"
    assert filled["volatile.bridge.hwaddr"].startswith("00:16:3e:")


def test_a_given_subnet_gets_no_nat_by_itself() -> None:
    filled = Bridge.fill({"ipv4.address": "10.1.2.1/24", "ipv6.address": "none"}, [])
    assert "ipv4.nat" not in filled


def test_an_update_adds_nothing() -> None:
    assert Bridge.fill({"ipv4.address": "none"}, [], {}) == {"ipv4.address": "none"}


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"foo": "bar"}, 'Invalid option for network "br0" option "foo"'),
        ({"ipv4.nat": "maybe"}, 'Invalid value for network "br0" option "ipv4.nat": Invalid value for a boolean'),
        ({"ipv4.address": "10.0.0.1"}, 'option "ipv4.address"'),
        ({"ipv4.dhcp.ranges": "10.0.0.1-10.0.0.2\n"}, "control characters"),
        ({"bridge.hwaddr": "xx"}, "Invalid MAC address"),
        ({"ipv6.address": "10.0.0.1/24"}, "Not an IPv6 network"),
        ({"ipv4.address": "10.0.0.1"}, "invalid CIDR address: 10.0.0.1"),
    ],
)
def test_a_bad_value_is_refused_in_lxds_words(config: dict[str, str], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        check_keys(Bridge, "br0", config)


@pytest.mark.parametrize(
    ("config", "error", "text"),
    [
        ({"ipv4.address": "10.250.0.0/24"}, Invalid, 'option "ipv4.address": Not a usable IPv4 address'),
        ({"ipv4.address": "10.250.7.1/24"}, Invalid, "overlaps"),
        ({"ipv4.address": "127.0.0.2/8"}, Invalid, "in use by the host's interface lo"),
        ({"ipv4.address": "10.251.0.1/24", "ipv4.dhcp.ranges": "10.252.0.1-10.252.0.9"}, Invalid, "not in the subnet"),
        ({"ipv6.address": "fd42:99::1/80"}, Invalid, "must be a /64"),
        ({"ipv6.address": "fd42:99::1/64", "bridge.mtu": "1000"}, Invalid, "1280"),
        ({"bridge.driver": "openvswitch"}, Unsupported, "openvswitch"),
        ({"tunnel.a.protocol": "gre"}, Unsupported, "tunnel"),
    ],
)
def test_what_does_not_fit_is_refused(config: dict[str, str], error: type[Failure], text: str) -> None:
    with pytest.raises(error, match=text):
        Bridge.check("lvt-none", config, [ip_network("10.250.7.0/24")])
