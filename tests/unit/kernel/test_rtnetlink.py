"""Attributes of netlink messages: what is packed is read back, and rubbish does not raise."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.kernel import rtnetlink

VALUES = st.dictionaries(st.integers(1, 100), st.binary(max_size=40), max_size=8)


@given(VALUES)
def test_attributes_are_read_as_they_were_packed(values: dict[int, bytes]) -> None:
    packed = b"".join(rtnetlink.attribute(kind, value) for kind, value in values.items())
    assert {kind: bytes(view) for kind, view in rtnetlink.attributes(memoryview(packed)).items()} == values


@given(st.binary(max_size=200))
def test_rubbish_ends_quietly(raw: bytes) -> None:
    rtnetlink.attributes(memoryview(raw))


def test_a_link_says_its_name_mtu_and_kind() -> None:
    info = rtnetlink.attribute(rtnetlink.IFLA_INFO_KIND, b"bridge\0")
    body = rtnetlink.link_header(7, rtnetlink.IFF_UP, 0)
    body += rtnetlink.name_attribute("br0") + rtnetlink.details("00:16:3e:01:02:03", 1400)
    body += rtnetlink.attribute(rtnetlink.IFLA_LINKINFO, info)
    link = rtnetlink.parse_link(memoryview(body))
    assert (link.index, link.name, link.mtu, link.kind) == (7, "br0", 1400, "bridge")
    assert (link.hwaddr, link.is_up, link.type) == ("00:16:3e:01:02:03", True, "broadcast")


def test_an_address_has_family_prefix_and_scope() -> None:
    body = struct.pack("=BBBBI", 2, 24, 0, 254, 3) + rtnetlink.attribute(rtnetlink.IFA_LOCAL, bytes([10, 0, 0, 1]))
    address = rtnetlink.parse_address(memoryview(body))
    assert (address.family, address.address, address.prefix, address.scope) == ("inet", "10.0.0.1", 24, "local")


def test_a_kernel_that_does_not_answer_is_not_waited_for_without_end() -> None:
    route, noop = rtnetlink.RouteSocket(answer_s=0.05), 1
    with pytest.raises(rtnetlink.Refused, match=r"no answer within 0\.05 s") as told:
        route.ask(noop, 0, b"")
    assert told.value.errno == errno.ETIMEDOUT
    assert route.ask(rtnetlink.GETLINK, rtnetlink.DUMP, bytes(16))
    route.close()
