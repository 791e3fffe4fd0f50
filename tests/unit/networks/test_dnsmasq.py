"""dnsmasq's files: what is configured is in them, and no value can add a line."""

from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.devices.ports import HostEntry
from lightervisor.errors import Invalid
from lightervisor.networks.drivers import dnsmasq

V4, V6 = IPv4Interface("10.1.2.1/24"), IPv6Interface("fd42:1:2:3::1/64")


def served(config: dict[str, str] | None = None) -> str:
    service = dnsmasq.Service(bridge="br0", directory=Path("/d/br0"), config=config or {}, ipv4=V4, ipv6=V6)
    return dnsmasq.serialize(dnsmasq.settings(service, "dnsmasq"))


def test_the_whole_subnet_is_given_out_but_the_gateway() -> None:
    assert "dhcp-range=10.1.2.2,10.1.2.254,1h\n" in served()


def test_ranges_and_expiry_are_as_configured() -> None:
    text = served({"ipv4.dhcp.ranges": "10.1.2.5-10.1.2.9, 10.1.2.20", "ipv4.dhcp.expiry": "5m"})
    assert "dhcp-range=10.1.2.5,10.1.2.9,5m\n" in text
    assert "dhcp-range=10.1.2.20,10.1.2.20,5m\n" in text


def test_ipv6_is_stateless_unless_asked() -> None:
    assert "dhcp-range=::,constructor:br0,ra-stateless,ra-names\n" in served()
    assert "dhcp-range=fd42:1:2:3::2,fd42:1:2:3:ffff:ffff:ffff:ffff,64,1h\n" in served({"ipv6.dhcp.stateful": "true"})
    assert "dhcp-range=::,constructor:br0,ra-only\n" in served({"ipv6.dhcp": "false"})


def test_without_dhcp_there_is_no_range() -> None:
    assert "dhcp-range=10." not in served({"ipv4.dhcp": "false"})


def test_names_have_the_domain() -> None:
    assert "domain=lan\n" in served({"dns.domain": "lan"})
    assert "domain=" not in served({"dns.mode": "none"})


def test_31_names_are_the_instances_unless_guests_may_choose_them() -> None:
    assert "dhcp-ignore-names\n" in served()
    assert "dhcp-ignore-names\n" in served({"dns.mode": "none"})
    assert "dhcp-ignore-names" not in served({"dns.mode": "dynamic"})


@given(st.text(max_size=30))
def test_no_value_adds_a_line(value: str) -> None:
    try:
        text = dnsmasq.serialize([("domain", value)])
    except Invalid:
        return
    assert text == f"domain={value}\n"
    assert len(text.splitlines()) == 1


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_host_adds_a_field_or_line(hostname: str, address: str) -> None:
    entry = HostEntry(owner="c.eth0", hwaddr="00:16:3E:00:00:01", hostname=hostname, ipv4=address)
    try:
        line = dnsmasq.host_line(entry, named=True)
    except Invalid:
        return
    given_parts = [part for part in ("00:16:3e:00:00:01", address, hostname) if part]
    assert line == (",".join(given_parts) + "\n" if len(given_parts) > 1 else "")


def test_a_host_without_name_and_address_needs_no_line() -> None:
    entry = HostEntry(owner="c.eth0", hwaddr="00:16:3e:00:00:01", hostname="c")
    assert dnsmasq.host_line(entry, named=False) == ""
    assert dnsmasq.host_line(entry, named=True) == "00:16:3e:00:00:01,c\n"


@pytest.mark.parametrize("owner", ["", "..", "a/b", "a\nb"])
def test_an_owner_is_a_file_name(owner: str, tmp_path: Path) -> None:
    hosts = dnsmasq.HostsDirectory(tmp_path, named=True)
    with pytest.raises(Invalid):
        hosts.put(HostEntry(owner=owner, hwaddr="00:16:3e:00:00:01", hostname="c"))


def test_hosts_are_written_and_removed(tmp_path: Path) -> None:
    hosts = dnsmasq.HostsDirectory(tmp_path, named=True)
    hosts.put(HostEntry(owner="c.eth0", hwaddr="00:16:3e:00:00:01", hostname="c", ipv4="10.1.2.3"))
    assert (tmp_path / "dnsmasq.hosts/c.eth0").read_text() == "00:16:3e:00:00:01,10.1.2.3,c\n"
    hosts.remove("c.eth0")
    hosts.remove("c.eth0")
    assert list((tmp_path / "dnsmasq.hosts").iterdir()) == []


def test_leases_are_read_for_both_versions() -> None:
    text = (
        "1763687000 00:16:3e:aa:bb:cc 10.1.2.77 c1 01:00:16:3e:aa:bb:cc\n"
        "duid 00:01:00:01:2f:00:00:00:00:16:3e:00:00:00\n"
        "1763687000 4112233 fd42::5 * 00:01:00:01:2e:6b:af:d5:00:16:3e:11:22:33\n"
        "broken\n"
    )
    first, second = dnsmasq.parse_leases(text)
    assert (first.hostname, first.hwaddr, first.address) == ("c1", "00:16:3e:aa:bb:cc", "10.1.2.77")
    assert (second.hostname, second.hwaddr, second.address) == ("", "00:16:3e:11:22:33", "fd42::5")


@given(st.text(max_size=200))
def test_rubbish_in_the_leases_file_does_not_raise(text: str) -> None:
    dnsmasq.parse_leases(text)


def test_a_pid_of_somebody_else_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "dnsmasq.pid").write_text("1\n")
    with dnsmasq.running(tmp_path) as pidfd:
        assert pidfd is None
    (tmp_path / "dnsmasq.pid").write_text("no number")
    with dnsmasq.running(tmp_path) as pidfd:
        assert pidfd is None


def test_the_owner_of_a_reserved_address_is_found(tmp_path: Path) -> None:
    hosts = dnsmasq.HostsDirectory(tmp_path, named=True)
    assert hosts.owner_of("10.1.2.3") == ""
    hosts.put(HostEntry(owner="c1.eth0", hwaddr="00:16:3e:00:00:01", hostname="c1", ipv4="10.1.2.3", ipv6="fd42::3"))
    assert hosts.owner_of("10.1.2.3") == hosts.owner_of("fd42::3") == "c1.eth0"
    assert hosts.owner_of("10.1.2.30") == ""


@pytest.mark.parametrize("subnet", ["10.0.0.1/32", "255.255.255.255/32", "10.0.0.1/31", "10.0.0.1/30"])
def test_a_subnet_without_room_for_guests_gives_out_nothing(subnet: str) -> None:
    service = dnsmasq.Service(bridge="br0", directory=Path("/d/br0"), config={}, ipv4=IPv4Interface(subnet))
    ranges = [one[1] for one in dnsmasq.settings(service, "") if isinstance(one, tuple) and one[0] == "dhcp-range"]
    assert ranges == (["10.0.0.2,10.0.0.2,1h"] if subnet.endswith("/30") else [])
