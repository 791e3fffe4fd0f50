"""Tables, csv and json as LXD's client draws them."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.cli import formats, units
from lightervisor.cli.errors import CommandError

HEADER = ["NAME", "IPV4"]
ROWS = [["c1", "10.0.0.1 (eth0)\n10.0.0.2 (eth1)"], ["other", ""]]


def test_a_table_has_rules_between_rows_and_a_centred_header() -> None:
    assert formats.table(HEADER, ROWS) == (
        "+-------+-----------------+\n"
        "| NAME  |      IPV4       |\n"
        "+-------+-----------------+\n"
        "| c1    | 10.0.0.1 (eth0) |\n"
        "|       | 10.0.0.2 (eth1) |\n"
        "+-------+-----------------+\n"
        "| other |                 |\n"
        "+-------+-----------------+\n"
    )


def test_an_empty_table_is_its_header() -> None:
    assert formats.table(["NAME"], []) == "+------+\n| NAME |\n+------+\n"


def test_compact_has_no_borders() -> None:
    assert formats.compact(HEADER, [["c1", "x"]]) == "  NAME  IPV4  \n  c1    x     \n"


def test_wide_characters_count_twice() -> None:
    assert formats.table(["N"], [["日本"]]).splitlines()[0] == "+------+"


@pytest.mark.parametrize(
    ("text", "title"), [("user.x_y", "USER X Y"), ("a 1.5 b", "A 1.5 B"), ("v.5", "V 5"), ("", "")]
)
def test_headers_are_titles(text: str, title: str) -> None:
    assert formats.table([text], []).splitlines()[1] == f"| {title} |"


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\r\0")), min_size=2, max_size=2)))
def test_csv_is_read_back(rows: list[list[str]]) -> None:
    assert list(csv.reader(io.StringIO(formats.csv(rows), newline=""))) == rows


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_json_is_read_back(values: list[str]) -> None:
    text = formats.json(values)
    assert json.loads(text) == values
    assert not set("<>&") & set(text)


def test_names_sort_naturally_and_empty_cells_last() -> None:
    rows = [["c10"], [""], ["c2"], ["a"]]
    assert formats.sort_rows(rows) == [["a"], ["c2"], ["c10"], [""]]


@given(st.lists(st.lists(st.text(), min_size=1, max_size=1)))
def test_any_cells_can_be_sorted(rows: list[list[str]]) -> None:
    assert sorted(formats.sort_rows(rows)) == sorted(rows)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(CommandError, match='Invalid format "x"'):
        formats.render("x", [], [], [])


def test_json_writes_times_as_go_does() -> None:
    value = [{"created_at": "2026-11-21T11:25:31.981500Z", "name": "2026-11-21T11:25:31.981500Z", "in": [{"b": None}]}]
    assert formats.json(value) == (
        '[{"created_at":"2026-11-21T11:25:31.9815Z","name":"2026-11-21T11:25:31.981500Z","in":[{"b":null}]}]\n'
    )


@pytest.mark.parametrize(
    ("stamp", "short"),
    [
        ("2026-11-21T11:25:31.000000Z", "2026-11-21T11:25:31Z"),
        ("2026-11-21T11:25:30Z", "2026-11-21T11:25:30Z"),
        ("2026-11-21T11:25:31.120+01:00", "2026-11-21T11:25:31.12+01:00"),
        ("", ""),
    ],
)
def test_times_end_with_no_zeros(stamp: str, short: str) -> None:
    assert units.shorten(stamp) == short
