"""`lxc query` and `lxc version`."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Client


def test_metadata_is_indented_by_tabs_with_sorted_keys(client: Client) -> None:
    client.server.answers = {"GET /1.0/x?a=b:c": {"b": [], "a": [1, {"d": None, "c": True}], "f": {}, "e": 2.5}}
    assert client("query", "/1.0/x?a=b:c") == (
        '{\n\t"a": [\n\t\t1,\n\t\t{\n\t\t\t"c": true,\n\t\t\t"d": null\n\t\t}\n\t],\n\t"b": [],'
        '\n\t"e": 2.5,\n\t"f": {}\n}\n\n'
    )


def test_raw_is_the_envelope_as_it_came(client: Client) -> None:
    client.server.answers = {"GET /1.0/x": {"b": 1, "a": 2}}
    assert client("query", "--raw", "/1.0/x") == (
        '{\n\t"type": "sync",\n\t"metadata": {\n\t\t"b": 1,\n\t\t"a": 2\n\t}\n}\n\n'
    )


def test_the_path_alone_counts_whatever_project_is_chosen(client: Client) -> None:
    client.environ["LXD_PROJECT"] = "other"
    client.server.answers = {"GET /1.0/x": {"a": 1}}
    client("query", "/1.0/x")
    client("query", "local:/1.0/x")
    assert client.server.asked == ["GET /1.0/x"] * 2


def test_data_and_method_are_sent_as_typed(client: Client) -> None:
    assert client("query", "-X", "PATCH", "-d", '{"a": 1}', "/1.0/x") == ""
    assert client.server.sent == {"PATCH /1.0/x": {"a": 1}}


def test_a_file_is_printed_as_it_is(client: Client) -> None:
    client.server.answers = {"GET /1.0/x/log": b"<a>\n\x01b"}
    assert client("query", "/1.0/x/log") == "<a>\n\x01b"


def test_wait_prints_the_finished_operation(client: Client) -> None:
    client.server.asynchronous = {"PUT /1.0/x": {"id": "i", "status_code": 103}}
    client.server.answers = {"GET /1.0/operations/i/wait": {"id": "i", "status_code": 200}}
    assert client("query", "--wait", "-X", "PUT", "-d", "{}", "/1.0/x") == (
        '{\n\t"id": "i",\n\t"status_code": 200\n}\n\n'
    )


def test_wait_fails_as_the_operation_does(client: Client) -> None:
    client.server.asynchronous = {"PUT /1.0/x": {"id": "i", "status_code": 103}}
    client.server.answers = {"GET /1.0/operations/i/wait": {"id": "i", "status_code": 400, "err": "No room"}}
    assert client.fail("query", "--wait", "-X", "PUT", "-d", "{}", "/1.0/x") == "No room"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("1.0", "Query path must start with /"),
        ("/1.0/x --project p", "--project cannot be used with the query command"),
        ("nope:/1.0", 'The remote "nope" doesn\'t exist'),
        ("/1.0/nothing", "Not found"),
    ],
)
def test_what_cannot_be_asked_is_an_error(client: Client, words: str, text: str) -> None:
    assert client.fail("query", *words.split()) == text


def test_version_tells_both_versions(client: Client) -> None:
    client.server.answers = {"GET /1.0": {"environment": {"server_version": "6.1"}}}
    assert client("version") == "Client version: 5.0.2\nServer version: 6.1\n"


@pytest.mark.parametrize("remote", ["", "nope:", "images:"])
def test_version_fails_for_no_server(client: Client, remote: str) -> None:
    client.server.answers = {"GET /1.0": (500, "broken")}
    assert client("version", *[remote][: bool(remote)]) == "Client version: 5.0.2\nServer version: unreachable\n"
