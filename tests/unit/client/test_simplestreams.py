"""Simplestreams: from a server's JSON to images; nothing malformed gets through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.client import simplestreams
from lightervisor.errors import Invalid
from tests.harness import streams
from tests.harness.streams import digest

JAMMY = streams.product(
    "Ubuntu", "22.04", "amd64", "ubuntu/22.04,lts,j", "20260101_0000", "20260102_0000",
    release_title="22.04 LTS", version="22.04", support_eol="2027-04-01", label="release",
    lxd_requirements={"secureboot": "false"},
)  # fmt: skip
JAMMY_ARM = streams.product("Ubuntu", "22.04", "arm64", "ubuntu/22.04,lts", "20260102_0000")


def read(*listed: tuple[str, Any], architecture: str = "x86_64", default_os: str = "") -> list[dict[str, Any]]:
    return simplestreams.images([streams.products(*listed)], architecture=architecture, default_os=default_os)


def names(image: dict[str, Any] | None) -> list[str]:
    assert image is not None
    return [alias["name"] for alias in image["aliases"]]


def test_a_split_image_is_an_entry_of_the_api_with_its_files():
    image = simplestreams.find(read(JAMMY), "lts")
    assert image == {
        "auto_update": False,
        "properties": {
            "architecture": "amd64",
            "description": "Ubuntu 22.04 LTS amd64 (release) (20260102_0000)",
            "label": "release",
            "os": "Ubuntu",
            "release": "22.04",
            "requirements.secureboot": "false",
            "serial": "20260102_0000",
            "type": "squashfs",
            "version": "22.04",
        },
        "public": True,
        "expires_at": "2027-04-01T00:00:00Z",
        "profiles": [],
        "aliases": [
            {"name": name, "description": ""}
            for name in ("ubuntu/22.04", "ubuntu/22.04/amd64", "lts", "lts/amd64", "j", "j/amd64")
        ],
        "architecture": "x86_64",
        "cached": False,
        "filename": "lxd.tar.xz",
        "fingerprint": digest("images/ubuntu/22.04/amd64/20260102_0000 squashfs"),
        "size": 200_001_000,
        "type": "container",
        "created_at": "2026-01-02T00:00:00Z",
        "last_used_at": "0001-01-01T00:00:00Z",
        "uploaded_at": "2026-01-02T00:00:00Z",
        "files": [
            {"ftype": kind, "path": path, "sha256": digest(path), "size": size}
            for kind, path, size in (
                ("lxd.tar.xz", "images/ubuntu/22.04/amd64/20260102_0000/lxd.tar.xz", 1000),
                ("squashfs", "images/ubuntu/22.04/amd64/20260102_0000/squashfs", 200_000_000),
            )
        ],
    }


def test_every_kind_of_root_file_system_is_an_image_of_its_own_and_deltas_are_none():
    kinds = [(image["properties"]["serial"], image["properties"]["type"], image["type"]) for image in read(JAMMY)]
    assert kinds == [
        (serial, kind, machine)
        for serial in ("20260102_0000", "20260101_0000")
        for kind, machine in (
            ("squashfs", "container"), ("root.tar.xz", "container"), ("disk-kvm.img", "virtual-machine")
        )
    ]  # fmt: skip


def test_aliases_are_the_newest_version_s():
    assert [names(image) != [] for image in read(JAMMY)] == [True, False, True, False, False, False]


@pytest.mark.parametrize(("architecture", "short"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_an_alias_without_architecture_means_this_one_and_each_is_found_by_its_own(architecture: str, short: str):
    found = read(JAMMY, JAMMY_ARM, architecture=architecture)
    here, other = simplestreams.find(found, "lts"), simplestreams.find(found, "lts/arm64")
    assert here is not None and other is not None
    assert here["properties"]["architecture"] == short
    assert other["architecture"] == "aarch64"


def test_virtual_machines_have_the_same_aliases_and_are_found_when_asked_for():
    found = simplestreams.find(read(JAMMY), "lts", kind="virtual-machine")
    assert found is not None
    assert (found["type"], found["properties"]["type"]) == ("virtual-machine", "disk-kvm.img")


def test_the_server_s_own_system_need_not_be_named():
    system = simplestreams.default_os("https://cloud-images.ubuntu.com/releases")
    assert "22.04" in names(read(JAMMY, default_os=system)[0])
    assert simplestreams.default_os("https://cloud-images.ubuntu.com.example.org/releases") == ""


def test_a_newer_version_with_another_root_file_system_wins():
    name, said = streams.product("Alpine", "3.20", "amd64", "alpine", "20260101", "20260102")
    del said["versions"]["20260102"]["items"]["root.squashfs"]
    found = simplestreams.find(read((name, said)), "alpine")
    assert found is not None
    assert (found["properties"]["serial"], found["properties"]["type"]) == ("20260102", "root.tar.xz")


def test_a_unified_image_is_named_by_its_own_hash():
    name, said = streams.product("Old", "1", "amd64", "old", "20260101")
    said["versions"]["20260101"]["items"] = {"x": streams.item("lxd_combined.tar.gz", "old", 7)}
    assert [image["fingerprint"] for image in read((name, said))] == [digest("old/lxd_combined.tar.gz")]


def test_a_fingerprint_s_beginning_finds_one_image_and_never_two():
    found = read(JAMMY)
    whole = found[1]["fingerprint"]
    assert simplestreams.find(found, whole[:12]) is found[1]
    assert simplestreams.find(found, "") is None
    assert simplestreams.find(found, "nothing") is None
    twins = [{**found[0], "fingerprint": "aa" + "0" * 62}, {**found[1], "fingerprint": "aa" + "1" * 62}]
    with pytest.raises(Invalid, match="more than one"):
        simplestreams.find(twins, "aa")


BAD_PATHS = (
    "../x", "/etc/shadow", "a/../../x", "a//b", "./a", "", "file:///etc/shadow", "https://else.where/x",
    "a?b", "a#b", "a%2e%2e/b", "a\\..\\b", "a\nb", "a b", "ä",
)  # fmt: skip
BAD_HASHES = ("", "a" * 63, "A" * 64, "../../x", "%" * 64, "g" * 64, 7, None)
BAD_SIZES = (0, -1, 1 << 60, "7", None, True, 1.5)


@pytest.mark.parametrize(
    ("field", "value"),
    [("path", value) for value in BAD_PATHS]
    + [("sha256", value) for value in BAD_HASHES]
    + [("size", value) for value in BAD_SIZES],
)
def test_a_file_that_cannot_be_true_makes_no_image_and_hides_no_other(field: str, value: object):
    name, said = streams.product("Bad", "1", "amd64", "bad", "20260101")
    said["versions"]["20260101"]["items"]["root.squashfs"][field] = value
    found = read((name, said), JAMMY)
    assert [image["properties"]["type"] for image in found if image["properties"]["os"] == "Bad"] == [
        "root.tar.xz",
        "disk-kvm.img",
    ]
    assert simplestreams.find(found, "lts") is not None


@pytest.mark.parametrize("value", [value for value in BAD_HASHES if value != ""])
def test_a_combined_hash_that_is_none_makes_no_image(value: object):
    name, said = streams.product("Bad", "1", "amd64", "bad", "20260101")
    metadata = said["versions"]["20260101"]["items"]["lxd.tar.xz"]
    metadata.update(dict.fromkeys([key for key in metadata if key.startswith("combined")], value))
    assert read((name, said)) == []


@pytest.mark.parametrize("serial", ["2026", "20261301", "20260230", "20270229", "21000229", "2026-1-1x", "\uff12" * 8])
def test_a_version_without_a_day_is_left_out(serial: str):
    assert read(streams.product("Bad", "1", "amd64", "bad", serial)) == []


def test_an_index_lists_product_files_of_images_on_its_own_server():
    assert simplestreams.product_paths(streams.index("streams/v1/images.json", *BAD_PATHS)) == [
        "streams/v1/images.json"
    ]
    assert simplestreams.product_paths(streams.index("streams/v1/ids.json", datatype="image-ids")) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"a":1} x'])
def test_what_is_no_document_is_refused(content: bytes):
    with pytest.raises(Invalid, match="Simplestreams"):
        simplestreams.product_paths(content)
    with pytest.raises(Invalid, match="Simplestreams"):
        simplestreams.images([content], architecture="x86_64")


TEXTS = st.sampled_from(["", "a", "squashfs", "lxd.tar.xz", "../x", "a" * 64, "amd64", "20260101", "\x00", "a,b,,"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=3)


@given(st.data())
def test_any_json_is_read_or_refused(data: st.DataObject):
    document: Any = json.loads(streams.products(streams.product("A", "1", "amd64", "a", "20260101")))
    place = document
    while isinstance(place, dict) and place:
        key = data.draw(st.sampled_from(sorted(place)))
        if data.draw(st.booleans()):
            place[key] = data.draw(VALUES)
            break
        place = place[key]
    for image in simplestreams.images([json.dumps(document).encode()], architecture="x86_64"):
        assert simplestreams.is_fingerprint(image["fingerprint"])
        assert all(simplestreams.is_safe_path(file["path"]) for file in image["files"])
        assert image["size"] > 0
