"""Values of configuration keys: what LXD takes is taken, what it refuses is refused, nothing else gets through."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.config import limit_keys, sizes, types
from lightervisor.config.compression import Algorithm
from lightervisor.config.types import ValueType
from lightervisor.errors import Invalid

EVERY_TYPE = [
    types.Bool, types.Int, types.Uint32, types.Text, types.Blob, types.Size, types.CpuSet, types.Address,
    limit_keys.Memory, limit_keys.Priority, limit_keys.Rlimit, limit_keys.CpuAllowance, types.MacAddress,
    types.Percentage, types.Expiry, types.integer(0, 10), types.one_of("a", "b"), types.list_of(types.Bool),
    types.subnet(4), types.subnet(6), types.any_of("mixed", types.Bool, types.Int),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (types.Bool, ["true", "1", "YES", "off"], ["", "perhaps", "2", " true"]),
        (types.Int, ["0", "-3", "+7"], ["1.5", "0x10", "1_000", "\N{ARABIC-INDIC DIGIT TWO}", "9" * 20]),
        (limit_keys.Memory, ["10%", "512MiB", "1GB", "4096"], ["0", "much", "5%%", "-1", "10 %"]),
        (types.CpuSet, ["2", "0-3", "0-3,7", "1"], ["a", "3-1", "", "1-", "-1", "1_0", "0,,1"]),
        (Algorithm, ["none", "gzip", "squashfs", "zstd -19", "gzip -9"], ["", "gzip ", "none -1", "zip", "xz -100"]),
        (types.Address, ["10.0.0.1", "fd42::1"], ["10.0.0", "10.0.0.1/24", "x"]),
        (types.subnet(4), ["10.0.0.1/24"], ["10.0.0.1", "fd42::1/64", "10.0.0.1/33"]),
        (types.MacAddress, ["00:16:3e:aa:BB:cc"], ["00:16:3e:aa:bb", "00-16-3e-aa-bb-cc", "00:16:3e:aa:bb:cc:dd"]),
        (types.Expiry, ["1d", "2w 3H"], ["1x", "d", "1d  2d"]),
        (types.list_of(types.integer(1, 5)), ["1,2, 5"], ["1,6", ",", "1,,2"]),
    ],
)
def test_what_is_taken_and_what_is_refused(kind: ValueType, good: list[str], bad: list[str]) -> None:
    for value in good:
        kind.check(value)
    for value in bad:
        with pytest.raises(Invalid):
            kind.check(value)


@pytest.mark.parametrize("kind", EVERY_TYPE, ids=lambda kind: kind.name)
@given(value=st.text(max_size=40))
def test_any_text_is_taken_or_refused_with_a_sentence(kind: ValueType, value: str) -> None:
    try:
        kind.check(value)
    except Invalid as refused:
        assert refused.sentence()


@given(value=st.text(max_size=40))
def test_one_line_means_one_line(value: str) -> None:
    try:
        types.Text.check(value)
    except Invalid:
        return
    assert not set(value) & {"\n", "\r", "\0", "\x1b"}


@given(st.integers(min_value=0, max_value=10**15), st.sampled_from(sorted(sizes.BYTE_UNITS)))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str) -> None:
    size = number * sizes.BYTE_UNITS[unit]
    if size < 1 << 63:
        assert sizes.parse(f"{number}{unit}") == size
    else:
        with pytest.raises(Invalid, match=r"^Overflow multiplying"):
            sizes.parse(f"{number}{unit}")


@given(st.integers(min_value=0, max_value=10**20))
def test_a_size_for_people_is_near_the_size(count: int) -> None:
    shown = sizes.human(count)
    number = shown.rstrip("kMGTPEB")
    assert abs(float(number) * sizes.BYTE_UNITS[shown[len(number) :]] - count) <= max(count * 0.01, 0.5)


@given(st.sets(st.integers(min_value=0, max_value=300), min_size=1))
def test_a_list_of_cpus_is_read_back(chosen: set[int]) -> None:
    text = ",".join(map(str, sorted(chosen)))
    assert types.cpu_set(text) == (chosen if len(chosen) > 1 else min(chosen))


@given(st.ip_addresses())
def test_addresses_are_taken_in_their_version(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    types.address(found.version).check(str(found))
    with pytest.raises(Invalid):
        types.address(10 - found.version).check(str(found))
