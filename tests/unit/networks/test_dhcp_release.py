"""What is sent to give addresses back, and for which leases."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest

from lightervisor.networks.drivers.dhcp_release import Lease4, Lease6, packet4, packet6
from lightervisor.networks.drivers.dnsmasq import held

HWADDR = "00:16:3e:00:00:01"
CLIENT6 = bytes.fromhex("000100012c00000000163e000001")
LEASES = f"""\
1700000000 {HWADDR} 10.1.2.3 c1 01:{HWADDR}
1700000000 00:16:3e:00:00:02 10.1.2.4 c2 *
duid 00:01:00:01:2b:ff
1700000000 4096 fd42::3 c1 00:01:00:01:2c:00:00:00:{HWADDR}
1700000000 T77 fd42::4 c1 00:01:00:01:2c:00:00:00:{HWADDR}
"""


def test_a_nics_own_leases_are_found() -> None:
    found, server_id = held(LEASES, HWADDR)
    assert found == [
        Lease4(address=IPv4Address("10.1.2.3"), hwaddr=HWADDR, client_id=bytes.fromhex("01" + HWADDR.replace(":", ""))),
        Lease6(address=IPv6Address("fd42::3"), client_id=found[1].client_id, interface_id=4096),
    ]
    assert server_id == bytes.fromhex("000100012bff")
    assert held(LEASES, "00:16:3e:00:00:02")[0][0].client_id == b""
    assert held(LEASES, "00:16:3e:00:00:03")[0] == []


@pytest.mark.parametrize("text", ["", "x", "1 2", f"1 {HWADDR} nowhere c1 *", f"1 {HWADDR} 10.0.0.1 c1 zz", "duid"])
def test_rubbish_holds_nothing(text: str) -> None:
    assert held(text, HWADDR) == ([], b"")


def test_a_release_names_client_address_and_server() -> None:
    lease = Lease4(address=IPv4Address("10.1.2.3"), hwaddr=HWADDR, client_id=b"\1abc")
    sent = packet4(lease, IPv4Address("10.1.2.1"), 7)
    assert len(sent) >= 300, "the least of BOOTP"
    assert sent[:4] == bytes([1, 1, 6, 0])
    assert sent[12:16] == lease.address.packed
    assert sent[28:34] == bytes.fromhex(HWADDR.replace(":", ""))
    assert sent[236:240] == bytes([99, 130, 83, 99])
    assert sent[240:243] == bytes([53, 1, 7])
    assert bytes([54, 4, 10, 1, 2, 1]) in sent
    assert b"\x3d\x04\1abc\xff" in sent


def test_a_release_of_version_6_names_interface_and_server() -> None:
    lease = Lease6(address=IPv6Address("fd42::3"), client_id=CLIENT6, interface_id=4096)
    sent = packet6(lease, b"server", 0x123456)
    assert sent[:4] == bytes([8, 0x12, 0x34, 0x56])
    options: dict[int, bytes] = {}
    position = 4
    while position < len(sent):
        kind, length = struct.unpack_from("!HH", sent, position)
        options[kind] = sent[position + 4 : position + 4 + length]
        position += 4 + length
    assert options[1] == CLIENT6
    assert options[2] == b"server"
    assert options[3][:4] == struct.pack("!I", 4096)
    assert lease.address.packed in options[3]
