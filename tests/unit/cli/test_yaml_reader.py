"""YAML as LXD's typed structs read it."""

from typing import Any

import pytest

from lightervisor.cli import yaml_reader
from lightervisor.cli.errors import CommandError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("size: 5\npublic: yes\nprofiles: []\n", {"size": 5, "public": True, "profiles": []}),
        ("properties: {release: 22.10, old: yes, none: ~, day: 2020-01-01, hex: 0x10}", {
            "properties": {"release": "22.10", "old": "yes", "none": "", "day": "2020-01-01", "hex": "0x10"},
        }),
        ("devices:\n  eth0:\n    vlan: 5\n", {"devices": {"eth0": {"vlan": "5"}}}),
        ("expires_at: 1970-01-01T00:00:00Z\n", {"expires_at": "1970-01-01T00:00:00Z"}),
        ("description: 5\nports:\n- listen_port: 80\n", {"description": "5", "ports": [{"listen_port": "80"}]}),
        ("config:\n", {"config": None}),
        ("config: 2020-01-01\n", {"config": "2020-01-01"}),
        ("base: &b\n  k: 5\nconfig:\n  <<: *b\n  z: 3\n", {"base": {"k": "5"}, "config": {"k": "5", "z": "3"}}),
    ],
)  # fmt: skip
def test_texts_stay_texts_and_dates_are_never_made(text: str, value: Any) -> None:
    assert yaml_reader.load(text) == value


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx: y", "!!python/object/apply:os.getcwd []", "&a a: *b"])
def test_what_is_not_yaml_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="yaml: "):
        yaml_reader.load(text)


def test_an_alias_to_an_alias_is_visited_once() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 64)]
    assert set(yaml_reader.load("\n".join(lines))) == {f"a{n}" for n in range(64)}


@pytest.mark.parametrize("text", ["- a", "text", "5"])
def test_a_mapping_is_wanted(text: str) -> None:
    with pytest.raises(CommandError, match="not a mapping"):
        yaml_reader.load_mapping(text)
