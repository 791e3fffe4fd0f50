"""Automatic subnets avoid what is used."""

import random
from ipaddress import IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.errors import HostError
from lightervisor.networks import subnets


@given(st.integers(), st.lists(st.integers(0, 65535), max_size=50))
def test_a_free_subnet_overlaps_nothing(seed: int, taken: list[int]) -> None:
    used: list[subnets.Subnet] = [IPv4Network(f"10.{one >> 8}.{one & 255}.0/24") for one in taken]
    chosen = subnets.free_ipv4(used, random.Random(seed))
    assert chosen.network.prefixlen == 24
    assert str(chosen.ip).endswith(".1")
    assert not any(chosen.network.overlaps(one) for one in used if isinstance(one, IPv4Network))


def test_another_private_range_is_used_when_ten_is_full() -> None:
    assert str(subnets.free_ipv4([ip_network("10.0.0.0/8")])).startswith("172.")
    full = [ip_network("10.0.0.0/8"), ip_network("172.16.0.0/12")]
    assert str(subnets.free_ipv4(full)).startswith("192.168.")


def test_no_free_subnet_says_what_to_do() -> None:
    with pytest.raises(HostError, match="no private IPv4 subnet") as caught:
        subnets.free_ipv4([ip_network("10.0.0.0/8"), ip_network("172.16.0.0/12"), ip_network("192.168.0.0/16")])
    assert "ipv4.address=" in caught.value.remedy


def test_ipv6_is_a_private_64() -> None:
    chosen = subnets.free_ipv6([])
    assert str(chosen).startswith("fd42:")
    assert chosen.network.prefixlen == 64
