"""`lxc storage`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.conftest import Client

POOL: dict[str, Any] = {
    "config": {"source": "/srv/p2"},
    "description": "d",
    "name": "p2",
    "driver": "dir",
    "used_by": [
        "/1.0/images/abc",
        "/1.0/instances/c1",
        "/1.0/instances/c1/snapshots/s0",
        "/1.0/instances/c%202?project=p&target=m1",
        "/1.0/profiles/default",
        "/1.0/storage-pools/p2/buckets/b",
        "/1.0/storage-pools/p2/volumes/custom/v1",
        "/1.0/storage-pools/p2/volumes/custom/v1/snapshots/s0",
        "/1.0/storage-pools/p2/volumes/image/def",
    ],
    "status": "Created",
    "locations": ["none"],
}
RESOURCES = {"space": {"used": 1536, "total": 5_000_000_000}, "inodes": {"used": 10, "total": 100}}
INFO = """\
info:
  description: d
  driver: dir
  name: p2
  space used: 1.50KiB
  total space: 4.66GiB
used by:
  buckets:
  - b
  images:
  - abc
  instances:
  - c1
  - c 2 (project "p", target "m1")
  profiles:
  - default
  volumes:
  - v1
  - def
"""


@pytest.fixture
def lxc(client: Client) -> Client:
    client.server.answers = {
        "GET /1.0": {"environment": {"server_clustered": False}},
        "GET /1.0/storage-pools?recursion=1": [{**POOL, "name": "p10", "used_by": None}, POOL],
        "GET /1.0/storage-pools/p2": POOL,
        "GET /1.0/storage-pools/p2?target=m1": POOL,
        "GET /1.0/storage-pools/p2/resources": RESOURCES,
        "GET /1.0/storage-pools/p2/resources?target=m1": {**RESOURCES, "space": {"used": 1, "total": 2}},
    }
    return client


def test_the_list_shows_the_source_where_there_is_one(lxc: Client) -> None:
    assert lxc("storage", "list", "-f", "csv") == "p2,dir,/srv/p2,d,9,CREATED\np10,dir,/srv/p2,d,0,CREATED\n"
    lxc.server.answers["GET /1.0"] = {"environment": {"server_clustered": True}}
    assert lxc("storage", "list", "-f", "csv") == "p2,dir,d,9,CREATED\np10,dir,d,0,CREATED\n"


def test_info_tells_the_space_and_the_users(lxc: Client) -> None:
    assert lxc("storage", "info", "p2") == INFO
    assert '  space used: "1536"\n  total space: "5000000000"\n' in lxc("storage", "info", "p2", "--bytes")


def test_a_pool_of_which_nobody_uses_anything(lxc: Client) -> None:
    lxc.server.answers["GET /1.0/storage-pools/p2"] = {**POOL, "used_by": None}
    assert lxc("storage", "info", "p2").endswith("used by: {}\n")


def test_a_member_is_asked_in_a_cluster_only(lxc: Client) -> None:
    text = "To use --target, the destination remote must be a cluster"
    assert lxc.fail("storage", "info", "p2", "--target", "m1") == text
    lxc.server.answers["GET /1.0"] = {"environment": {"server_clustered": True}}
    assert "  space used: 1B\n" in lxc("storage", "info", "p2", "--target", "m1")


def test_show_prints_the_pool_or_its_resources(lxc: Client) -> None:
    assert lxc("storage", "show", "p2").startswith("config:\n  source: /srv/p2\ndescription: d\nname: p2\n")
    assert lxc("storage", "show", "p2", "--resources") == (
        "space:\n  used: 1536\n  total: 5000000000\ninodes:\n  used: 10\n  total: 100\n"
    )


@pytest.mark.parametrize(
    ("words", "said", "request_line", "body"),
    [
        (
            "create n dir a=b",
            "Storage pool n created",
            "POST /1.0/storage-pools",
            {"name": "n", "driver": "dir", "config": {"a": "b"}},
        ),
        (
            "create n zfs --target m1",
            "Storage pool n pending on member m1",
            "POST /1.0/storage-pools?target=m1",
            {"name": "n", "driver": "zfs"},
        ),
        ("delete p2", "Storage pool p2 deleted", "DELETE /1.0/storage-pools/p2", None),
        ("set p2 a=b c=d", "", "PUT /1.0/storage-pools/p2", {"config": {**POOL["config"], "a": "b", "c": "d"}}),
        ("set p2 a b", "", "PUT /1.0/storage-pools/p2", {"description": "d", "config": {**POOL["config"], "a": "b"}}),
        ("unset p2 source --target m1", "", "PUT /1.0/storage-pools/p2?target=m1", {"config": {"source": ""}}),
    ],
)
def test_a_change_is_sent_and_told(
    lxc: Client, words: str, said: str, request_line: str, body: dict[str, Any] | None
) -> None:
    assert lxc("storage", *words.split()) == (f"{said}\n" if said else "")
    assert lxc.server.asked[-1] == request_line
    sent = lxc.server.sent.get(request_line, {})
    assert {key: sent[key] for key in body or {}} == (body or {})


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("show local:", "Missing pool name"),
        ("info nope", "Not found"),
        ("create n dir foo", "Bad key=value pair: [foo]"),
        ("set p2 a", "Invalid key=value configuration: a"),
        ("list -f xml", 'Invalid format "xml"'),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(lxc: Client, words: str, text: str) -> None:
    assert lxc.fail("storage", *words.split()) == text
    assert [line for line in lxc.server.asked if not line.startswith("GET")] == []


def test_an_unset_key_prints_nothing(lxc: Client) -> None:
    assert lxc("storage", "get", "p2", "source") == "/srv/p2\n"
    assert lxc("storage", "get", "p2", "size") == ""


def test_edit_shows_the_pool_and_sends_what_can_be_changed(lxc: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightervisor.cli.session.Session.has_terminal", lambda _self: True)
    monkeypatch.setattr(
        "lightervisor.cli.editor.run_editor",
        lambda _environ, text, _suffix: text.replace("description: d", "description: e"),
    )
    lxc("storage", "edit", "p2")
    assert lxc.server.sent["PUT /1.0/storage-pools/p2"] == {"config": POOL["config"], "description": "e"}
