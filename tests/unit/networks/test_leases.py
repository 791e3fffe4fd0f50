"""The list of leases: one row for each address."""

from lightervisor.model.network import NetworkLease
from lightervisor.networks.leases import eui64, merged
from lightervisor.networks.users import Nic

MAC = "00:16:3e:11:22:33"
GATEWAY = NetworkLease(hostname="br0.gw", hwaddr="00:16:3e:00:00:00", address="10.1.2.1", type="gateway")


def test_the_guests_own_address_follows_its_mac() -> None:
    assert eui64("fd42::", MAC) == "fd42::216:3eff:fe11:2233"


def test_a_reserved_address_is_listed_once_as_static() -> None:
    given = NetworkLease(hostname="c1", hwaddr=MAC, address="10.1.2.5", type="dynamic")
    found = merged([Nic(instance="c1", hwaddr=MAC, ipv4="10.1.2.5")], [given, GATEWAY], {})
    assert [(lease.address, lease.type) for lease in found] == [("10.1.2.1", "gateway"), ("10.1.2.5", "static")]


def test_addresses_that_guests_make_are_listed_for_stateless_ipv6() -> None:
    config = {"ipv6.address": "fd42::1/64"}
    nic = Nic(instance="c1", hwaddr=MAC)
    assert [lease.address for lease in merged([nic], [], config)] == ["fd42::216:3eff:fe11:2233"]
    assert merged([nic], [], {**config, "ipv6.dhcp.stateful": "true"}) == []
