"""Questions about an address, and what counts as an answer."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.kernel.neighbours import answered, question
from tests.harness.packets import ARP, IPV6, address_option, arp, frame, ipv6, neighbour, router

OWN, OTHER = "00:16:3e:00:00:01", "00:16:3e:00:00:02"


def test_the_question_is_asked_by_nobody() -> None:
    asked = question(bytes.fromhex(OWN.replace(":", "")), ip_address("192.0.2.9"))
    assert asked[:6] == b"\xff" * 6
    assert asked[28:32] == bytes(4), "the sender's address"
    assert asked[38:42] == ip_address("192.0.2.9").packed
    asked = question(bytes.fromhex(OWN.replace(":", "")), ip_address("fd00::9"))
    assert asked[22:38] == bytes(16)
    assert asked[:6] == b"\x33\x33\xff\x00\x00\x09"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(OTHER, ARP, arp(OTHER, "192.0.2.9")), "192.0.2.9"),
        (frame(OTHER, ARP, arp(OTHER, "192.0.2.9", operation=1)), None),
        (frame(OTHER, IPV6, ipv6("fe80::9", neighbour(136, "fd00::9", address_option(2, OTHER)))), "fd00::9"),
        (frame(OTHER, IPV6, ipv6("fe80::9", neighbour(135, "fd00::9"))), None),
        (frame(OTHER, IPV6, ipv6("fe80::9", router())), None),
    ],
)
def test_only_answers_count(data: bytes, expected: str | None) -> None:
    assert answered(data) == (ip_address(expected) if expected else None)


@given(st.binary(max_size=100))
def test_anything_may_come_from_the_wire(data: bytes) -> None:
    answered(data)
