"""Lines of raw.idmap, and what becomes of a map with them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.errors import Failure, Invalid
from lightervisor.kernel.idmap import IdMap, IdRange, from_json
from lightervisor.kernel.idmap_raw import MOST_BYTES, MOST_RANGES, carve, parse

BASE = IdMap((IdRange("both", 1_000_000, 0, 65536),))


def carved(text: str) -> IdMap:
    return carve(BASE, parse(text))


def test_a_single_id_makes_a_hole() -> None:
    lines = "0 1000000 1000\n1000 1000 1\n1001 1001001 64535\n"
    assert carved("both 1000 1000").proc_lines("uid") == lines
    assert carved("both 1000 1000").proc_lines("gid") == lines


def test_a_kind_is_left_alone_that_was_not_named() -> None:
    found = carved("uid 1000 0\n\n")
    assert found.proc_lines("uid") == "0 1000 1\n1 1000001 65535\n"
    assert found.proc_lines("gid") == "0 1000000 65536\n"
    assert found.host_root == 1000


def test_ranges_and_ids_outside_the_map() -> None:
    found = carved("both 1000-1009 60000-60009\ngid 44 70000")
    assert found.proc_lines("uid") == "0 1000000 60000\n60000 1000 10\n60010 1060010 5526\n"
    assert found.proc_lines("gid").endswith("70000 44 1\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("both 1000", 'Invalid ID map line "both 1000"'),
        ("all 1 1", 'Invalid ID map type "all 1 1"'),
        ("both 1-2 1", 'The ID map ranges are of different sizes "both 1-2 1"'),
        ("both 9-1 9-1", 'Invalid ID map range "9-1"'),
        ("both -1 5", 'Invalid ID map range "-1"'),
        ("both ٣ 5", 'Invalid ID map range "٣"'),
        ("both 4294967295 5", 'Invalid ID map range "4294967295"'),
        ("both 99999999999999999999 5", 'Invalid ID map range "99999999999999999999"'),
        ("both 0 5", "Invalid ID map line 'both 0 5': 0 is root of the host"),
        ("uid 0-9 0-9", "Invalid ID map line 'uid 0-9 0-9': 0 is root of the host"),
        ("uid 5 5\nboth 5 6", "The host uid 5 is mapped twice in raw.idmap"),
        ("gid 5-9 5-9\ngid 20-29 9-18", "The guest gid 9 is mapped twice in raw.idmap"),
        ("both 1000000 1", "Host ID is in the range of subids"),
        ("both 999999-1000000 1-2", "Host ID is in the range of subids"),
    ],
)
def test_bad_lines_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(Invalid) as caught:
        carved(text)
    assert caught.value.sentence() == complaint


def test_more_ranges_than_the_kernel_takes_are_refused() -> None:
    with pytest.raises(Invalid, match="more ranges than the kernel takes"):
        carved("\n".join(f"both {n} {n}" for n in range(1, 700, 2)))


def test_json_comes_back_as_it_went() -> None:
    found = carved("both 1000 1000")
    assert from_json(found.to_json()) == found
    assert from_json("[]") is None
    both = '[{"Isuid":true,"Isgid":true,"Hostid":7,"Nsid":0,"Maprange":2}]'
    assert from_json(both) == IdMap((IdRange("uid", 7, 0, 2), IdRange("gid", 7, 0, 2)))
    with pytest.raises(Invalid):
        from_json("{")


numbers = st.integers(min_value=0, max_value=2_000_000)
entry = st.builds(
    lambda kind, host, guest, count: f"{kind} {host}-{host + count} {guest}-{guest + count}",
    st.sampled_from(["both", "uid", "gid"]), numbers, numbers, st.integers(min_value=0, max_value=70_000),
)  # fmt: skip


@given(st.lists(entry, max_size=12))
def test_what_is_accepted_is_a_map_that_the_kernel_takes(lines: list[str]) -> None:
    try:
        found = carved("\n".join(lines))
    except Failure:
        return
    for kind in ("uid", "gid"):
        text = found.proc_lines(kind)
        ranges = [tuple(map(int, line.split())) for line in text.splitlines()]
        assert len(ranges) <= MOST_RANGES
        assert len(text) <= MOST_BYTES
        for side in (0, 1):
            taken = sorted((one[side], one[side] + one[2]) for one in ranges)
            assert all(before[1] <= after[0] for before, after in itertools.pairwise(taken))
        assert all(one[2] > 0 and one[1] > 0 for one in ranges)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except Invalid:
        return
