"""`lxc profile` and `lxc profile device`."""

from __future__ import annotations

import io
from typing import Any

import pytest

from lightervisor.cli import yaml_reader
from lightervisor.cli.errors import CommandError
from tests.unit.cli.conftest import Client

WEB: dict[str, Any] = {
    "config": {"user.a": "1"},
    "description": "for the web",
    "devices": {"eth10": {"type": "none"}, "eth2": {"type": "nic", "network": "br0"}},
    "name": "web",
    "used_by": ["/1.0/instances/c1"],
}
INSTANCE: dict[str, Any] = {
    "architecture": "x86_64",
    "config": {},
    "devices": {},
    "ephemeral": False,
    "profiles": ["default", "web"],
    "stateful": False,
    "description": "",
    "name": "c1",
}


@pytest.fixture
def lxc(client: Client) -> Client:
    client.server.answers = {
        "GET /1.0/profiles?recursion=1": [WEB, {**WEB, "name": "db", "used_by": None}],
        "GET /1.0/profiles/web": WEB,
        "GET /1.0/instances/c1": INSTANCE,
        "GET /1.0": {"api_extensions": ["metadata_configuration"]},
        "GET /1.0/metadata/configuration": {"configs": {"instance": {"boot": {"keys": [{"boot.autostart": {}}]}}}},
    }
    return client


def test_list_is_a_sorted_table(lxc: Client) -> None:
    assert lxc("profile", "list", "-f", "csv") == "db,for the web,0\nweb,for the web,1\n"
    assert lxc("profile", "list").splitlines()[1] == "| NAME | DESCRIPTION | USED BY |"


def test_an_unknown_format_is_refused_before_anything_is_asked(lxc: Client) -> None:
    assert lxc.fail("profile", "list", "-f", "xml") == 'Invalid format "xml"'
    assert lxc.server.asked == []


def test_show_sorts_maps_as_go_yaml_does(lxc: Client) -> None:
    assert lxc("profile", "show", "web") == (
        'config:\n  user.a: "1"\ndescription: for the web\ndevices:\n  eth2:\n    network: br0\n    type: nic\n'
        "  eth10:\n    type: none\nname: web\nused_by:\n- /1.0/instances/c1\n"
    )


@pytest.mark.parametrize(
    ("words", "said", "request_line", "body"),
    [
        ("create new", "Profile new created", "POST /1.0/profiles", {"name": "new"}),
        ("delete web", "Profile web deleted", "DELETE /1.0/profiles/web", None),
        ("rename web x", "Profile web renamed to x", "POST /1.0/profiles/web", {"name": "x"}),
        ("copy web x", "", "POST /1.0/profiles", {"name": "x", "config": WEB["config"], "devices": WEB["devices"]}),
        ("copy web local:", "", "POST /1.0/profiles", {"name": "web"}),
        ("copy web x --target-project p", "", "POST /1.0/profiles?project=p", {"name": "x"}),
        ("set web user.a=2 user.b=3", "", "PUT /1.0/profiles/web", {"config": {"user.a": "2", "user.b": "3"}}),
        ("set web user.b x", "", "PUT /1.0/profiles/web", {"config": {"user.a": "1", "user.b": "x"}}),
        ("unset web user.a", "", "PUT /1.0/profiles/web", {"config": {"user.a": ""}, "devices": WEB["devices"]}),
        ("add c1 db", "Profile db added to c1", "PUT /1.0/instances/c1", {"profiles": ["default", "web", "db"]}),
        ("remove c1 web", "Profile web removed from c1", "PUT /1.0/instances/c1", {"profiles": ["default"]}),
        ("assign c1 a,b", "Profiles a,b applied to c1", "PUT /1.0/instances/c1", {"profiles": ["a", "b"]}),
        ("apply local:c1 a", "Profiles a applied to c1", "PUT /1.0/instances/c1", {"profiles": ["a"]}),
        ("device add web x none", "Device x added to web", "PUT /1.0/profiles/web", {"config": WEB["config"]}),
        (
            "device unset web eth2 network",
            "",
            "PUT /1.0/profiles/web",
            {"devices": {"eth2": {"type": "nic", "network": ""}, "eth10": {"type": "none"}}},
        ),
        (
            "device set web eth2 mtu 9000",
            "",
            "PUT /1.0/profiles/web",
            {"devices": {"eth2": {"type": "nic", "network": "br0", "mtu": "9000"}, "eth10": {"type": "none"}}},
        ),
        (
            "device remove web eth2 eth10",
            "Device eth2, eth10 removed from web",
            "PUT /1.0/profiles/web",
            {"devices": {}},
        ),
    ],
)
def test_a_change_is_sent_and_told(
    lxc: Client, words: str, said: str, request_line: str, body: dict[str, Any] | None
) -> None:
    assert lxc("profile", *words.split()) == (f"{said}\n" if said else "")
    assert lxc.server.asked[-1] == request_line
    sent = lxc.server.sent.get(request_line, {})
    assert {key: sent[key] for key in body or {}} == (body or {})


def test_no_profile_at_all_is_said(lxc: Client) -> None:
    assert lxc("profile", "assign", "c1", "") == "Profiles (none) applied to c1\n"
    assert lxc.server.sent["PUT /1.0/instances/c1"]["profiles"] == []


def test_quiet_says_nothing(lxc: Client) -> None:
    assert lxc("-q", "profile", "create", "new") == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("show local:", "Missing profile name"),
        ("copy local: x", "Missing source profile name"),
        ("set web user.a", "Invalid key=value configuration: user.a"),
        ("remove c1 nope", "Profile nope isn't currently applied to c1"),
        ("add local: web", "Missing instance name"),
        ("device add local: x none", "Missing name"),
        ("device add web eth2 none", "The device already exists"),
        ("device add web x nic foo", 'No value found in "foo"'),
        ("device get web x a", "Device doesn't exist"),
        ("device unset web x a", "Device doesn't exist"),
        ("list nope:", 'The remote "nope" doesn\'t exist'),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(lxc: Client, words: str, text: str) -> None:
    assert lxc.fail("profile", *words.split()) == text
    assert [line for line in lxc.server.asked if not line.startswith("GET")] == []


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("get web user.a", "1\n"),
        ("get web user.none", "\n"),
        ("device get web eth2 network", "br0\n"),
        ("device get web eth2 mtu", "\n"),
        ("device list web", "eth10\neth2\n"),
        ("device show web", "eth2:\n  network: br0\n  type: nic\neth10:\n  type: none\n"),
    ],
)
def test_what_is_there_is_printed(lxc: Client, words: str, printed: str) -> None:
    assert lxc("profile", *words.split()) == printed


def test_edit_takes_words_as_they_are_written(lxc: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "name: ignored\nconfig: {user.a: 010, user.b: yes, user.c: null}\ndescription: 12\ndevices: null\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    monkeypatch.setattr("lightervisor.cli.session.Session.has_terminal", lambda _self: False)
    assert lxc("profile", "edit", "web") == ""
    assert lxc.server.asked == ["PUT /1.0/profiles/web"]
    assert lxc.server.sent == {
        "PUT /1.0/profiles/web": {
            "config": {"user.a": "010", "user.b": "yes", "user.c": ""},
            "description": "12",
        }
    }


def test_edit_shows_the_hint_and_guards_what_was_read(lxc: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def change(_environ: object, text: str, _suffix: str) -> str:
        shown.append(text)
        return "description: changed\n"

    monkeypatch.setattr("lightervisor.cli.session.Session.has_terminal", lambda _self: True)
    monkeypatch.setattr("lightervisor.cli.editor.run_editor", change)
    lxc("profile", "edit", "web")
    assert "### This is a YAML representation of the profile.\n" in shown[0]
    assert "###   boot: boot.autostart\n" in shown[0]
    assert '\n\nconfig:\n  user.a: "1"\n' in shown[0]
    assert lxc.server.sent["PUT /1.0/profiles/web"] == {"description": "changed"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("xx: {\n", "yaml: line 1: did not find expected node content"),
        ("a: b: c\n", "yaml: mapping values are not allowed in this context"),
        ("a: b\nc: d: e\n", "yaml: line 2: mapping values are not allowed in this context"),
        ("- a\n", "yaml: the document is not a mapping"),
    ],
)
def test_wrong_yaml_is_refused_in_one_line(text: str, error: str) -> None:
    with pytest.raises(CommandError) as caught:
        yaml_reader.load_mapping(text)
    assert caught.value.sentence().startswith(error)
    assert "\n" not in caught.value.sentence()
