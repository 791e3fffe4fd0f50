"""YAML as LXD's go-yaml writes it; the samples come from the real client."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.cli import yaml_writer

SAMPLES = {
    "true": '"true"',
    "trail ": "'trail '",
    "trail \nx": '"trail \\nx"',
    "?": "'?'",
    "a\x01b": '"a\\x01b"',
    "a:": "'a:'",
    "0777": '"0777"',
    "+1": '"+1"',
    'yes: "no"': "'yes: \"no\"'",
    ".5": '".5"',
    "off": '"off"',
    '"q"': "'\"q\"'",
    "two\nlines": "|-\n    two\n    lines",
    "#x": "'#x'",
    "12": '"12"',
    "a: b": "'a: b'",
    " lead": "' lead'",
    "null": '"null"',
    "it's": "it's",
    "tab\there": '"tab\\there"',
    "- x": "'- x'",
    "@x": "'@x'",
    "héé": "héé",
    "x\n": "|\n    x",
    "0x1f": '"0x1f"',
    "1:20": '"1:20"',
    "2001-01-01": '"2001-01-01"',
    "y": '"y"',
    "~": '"~"',
    "*a": "'*a'",
    "1e3": '"1e3"',
    "{a": "'{a'",
    "\n lead\nb": "|2-\n\n     lead\n    b",
    "a #b": "'a #b'",
    "=": "=",
    "": '""',
    "long text with many words that goes on and on for more than eighty characters so that it folds": (
        "long text with many words that goes on and on for more than eighty characters\n    so that it folds"
    ),
}


@pytest.mark.parametrize(("text", "written"), SAMPLES.items())
def test_strings_are_quoted_as_lxd_does(text: str, written: str) -> None:
    assert yaml_writer.dump({"config": {"user.b": text}}) == f"config:\n  user.b: {written}\n"


VALUES = st.recursive(
    st.one_of(st.text(), st.booleans(), st.integers(-(10**9), 10**9)),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(min_size=1), inner)),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_reads_back(value: object) -> None:
    assert yaml.safe_load(yaml_writer.dump(value)) == value


def test_nulls_are_empty_lists_and_maps() -> None:
    assert yaml_writer.dump({"profiles": None, "devices": None}) == "profiles: []\ndevices: {}\n"


def test_times_are_not_quoted() -> None:
    assert yaml_writer.dump({"created_at": "2026-11-21T00:34:27Z"}) == "created_at: 2026-11-21T00:34:27Z\n"


def test_the_keys_of_maps_are_sorted_as_go_yaml_does_and_those_of_structs_are_not() -> None:
    config = dict.fromkeys(("user.b", "user.a10", "user.a2", "user._", "user.B", "user.a", "user.a02", "user.a.1"), "x")
    lines = yaml_writer.dump({"name": "n", "config": config, "a": {"z": 1, "x": 2}}).splitlines()
    keys = [line.strip().partition(":")[0] for line in lines]
    in_order = ["user._", "user.B", "user.a", "user.a.1", "user.a2", "user.a02", "user.a10", "user.b"]
    assert keys == ["name", "config", *in_order, "a", "z", "x"]
    assert yaml_writer.dump({"b": {"d": 1, "c": 2}, "a": 3}, is_map=True) == "a: 3\nb:\n  c: 2\n  d: 1\n"


def test_templates_are_a_map_of_structs() -> None:
    template = {"when": ["create"], "create_only": False, "template": "x.tpl", "properties": None}
    assert yaml_writer.dump({"templates": {"/b": template, "/a": {"when": None}}}) == (
        "templates:\n  /a:\n    when: []\n  /b:\n    when:\n    - create\n    create_only: false\n"
        "    template: x.tpl\n    properties: {}\n"
    )
