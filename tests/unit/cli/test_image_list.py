"""Columns, filters and cells of `lxc image list`, `info` and `edit`."""

from typing import Any

import pytest

from lightervisor.cli import config, image, image_alias, image_edit, image_list, image_lookup, units
from lightervisor.cli.errors import CommandError
from lightervisor.cli.session import Session

XENIAL: dict[str, Any] = {
    "fingerprint": "f4c4c60a6b752a381288ae72a1689a9da00f8e03b732c8d1b8a8fcd1a8890800",
    "aliases": [{"name": "ubuntu/xenial", "description": ""}, {"name": "x", "description": "short"}],
    "architecture": "x86_64",
    "type": "container",
    "public": True,
    "cached": False,
    "auto_update": True,
    "size": 1_032_194,
    "properties": {"os": "ubuntu", "release": "xenial", "image.serial": "5", "description": "Ubuntu 16.04"},
    "profiles": ["default"],
    "update_source": {"alias": "xenial", "protocol": "simplestreams", "server": "https://images.example.org"},
    "created_at": "2016-03-30T00:00:00Z",
    "uploaded_at": "2026-11-20T20:14:05.153740Z",
    "expires_at": "1970-01-01T00:00:00Z",
    "last_used_at": "0001-01-01T00:00:00Z",
}


def session() -> Session:
    return Session(config.Config("/nowhere", {}, {}, {}), {})


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("xenial", True),
        ("untu/xe", True),
        ("Xenial", False),
        ("c4c60a", True),
        ("trusty", False),
        ("os=ubuntu", True),
        ("os=Ubuntu", False),
        ("os=ubu", False),
        ("os=ubu.*", True),
        ("rel=xenial", True),
        ("i.s=5", True),
        ("os=[", False),
        ("architecture=x86_64", True),
        ("type=container", True),
        ("public=true", True),
        ("public=no", False),
        ("size=1032194", True),
        ("nothing=x", False),
    ],
)
def test_a_filter_is_a_part_of_a_name_or_a_property_or_a_field(text: str, matches: bool) -> None:
    assert image_list.matches_all(XENIAL, [text]) is matches


def test_every_filter_must_match() -> None:
    assert image_list.matches_all(XENIAL, ["x", "os=ubuntu"])
    assert not image_list.matches_all(XENIAL, ["x", "os=debian"])
    assert image_list.matches_all(XENIAL, [])


@pytest.mark.parametrize(
    ("letter", "cell"),
    [
        ("l", "x (1 more)"),
        ("L", "ubuntu/xenial\nx"),
        ("f", "f4c4c60a6b75"),
        ("F", XENIAL["fingerprint"]),
        ("p", "yes"),
        ("d", "Ubuntu 16.04"),
        ("a", "x86_64"),
        ("t", "CONTAINER"),
        ("s", "0.98MB"),
        ("u", "Nov 20, 2026 at 8:14pm (UTC)"),
    ],
)
def test_each_column_shows_one_fact(letter: str, cell: str) -> None:
    ((_, make),) = image_list.columns(letter)
    assert make(XENIAL) == cell


def test_an_image_without_facts_has_empty_cells() -> None:
    bare = {"fingerprint": "ab", "aliases": None, "properties": None, "uploaded_at": "1970-01-01T00:00:00Z"}
    assert [make(bare) for _, make in image_list.columns("lLdsu")] == ["", "", "", "", ""]


@pytest.mark.parametrize("layout", ["", "l,,f", ",l", "lz"])
def test_a_bad_layout_is_refused(layout: str) -> None:
    with pytest.raises(CommandError, match="column"):
        image_list.columns(layout)


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        ("2026-01-02T00:05:00Z", "Jan 2, 2026 at 12:05am (UTC)"),
        ("2026-12-31T12:00:00Z", "Dec 31, 2026 at 12:00pm (UTC)"),
        ("2026-12-31T23:30:00+02:00", "Dec 31, 2026 at 9:30pm (UTC)"),
        ("0001-01-01T00:00:00Z", ""),
    ],
)
def test_a_moment_is_told_on_a_clock_of_twelve_hours(stamp: str, text: str) -> None:
    assert units.moment(stamp) == text


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ([], ("local", [])),
        (["x"], ("local", ["x"])),
        (["build:"], ("build", [])),
        (["build:debian", "os=x"], ("build", ["debian", "os=x"])),
        (["os=a:b"], ("local", ["os=a:b"])),
        (["x", "build:"], ("local", ["x", "build:"])),
    ],
)
def test_only_the_first_argument_names_a_remote(arguments: list[str], place: tuple[str, list[str]]) -> None:
    assert image_list.place(session(), arguments) == place


def test_an_image_is_described_as_lxd_does() -> None:
    assert image.described(XENIAL).splitlines() == [
        "Fingerprint: " + XENIAL["fingerprint"],
        "Size: 0.98MB",
        "Architecture: x86_64",
        "Type: container",
        "Public: yes",
        "Timestamps:",
        "    Created: 2016/03/30 00:00 UTC",
        "    Uploaded: 2026/11/20 20:14 UTC",
        "    Expires: never",
        "    Last used: never",
        "Properties:",
        "    description: Ubuntu 16.04",
        "    image.serial: 5",
        "    os: ubuntu",
        "    release: xenial",
        "Aliases:",
        "    - ubuntu/xenial",
        "    - x (short)",
        "Cached: no",
        "Auto update: enabled",
        "Source:",
        "    Server: https://images.example.org",
        "    Protocol: simplestreams",
        "    Alias: xenial",
        "Profiles:",
        "    - default",
    ]


@pytest.mark.parametrize(
    ("document", "auto_update"),
    [({"autoupdate": True}, True), ({"autoupdate": True, "auto_update": False}, False), ({"auto_update": True}, True)],
)
def test_the_old_spelling_of_a_key_is_taken(document: dict[str, Any], auto_update: bool) -> None:
    assert image_edit.modern({"public": True, **document}) == {"public": True, "auto_update": auto_update}


def test_an_alias_matches_by_its_name_or_fingerprint() -> None:
    alias = {"name": "ubuntu/xenial", "target": "f4c4c60a"}
    assert image_alias.matches_all(alias, ["xen", "c4"])
    assert not image_alias.matches_all(alias, ["xen", "debian"])


def test_only_servers_keep_images() -> None:
    for raw in ("build:busybox", "ubuntu:22.04"):
        with pytest.raises(CommandError):
            image_lookup.server_of(session(), raw)
