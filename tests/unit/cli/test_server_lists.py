"""`lxc operation`, `lxc warning` and `lxc alias`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import Client

OPERATION: dict[str, Any] = {
    "id": "b1",
    "class": "task",
    "description": "Updating instance",
    "created_at": "2026-11-21T11:25:31.981500Z",
    "status": "Running",
    "status_code": 103,
    "resources": {"instances": ["/1.0/instances/c1"]},
    "metadata": None,
    "may_cancel": True,
    "location": "none",
}
WARNING: dict[str, Any] = {
    "status": "new",
    "uuid": "u1",
    "location": "none",
    "project": "",
    "type": "Missing CGroup blkio",
    "count": 2,
    "first_seen_at": "2026-11-20T11:33:00.123450Z",
    "last_seen_at": "2026-11-20T00:05:00Z",
    "last_message": "m",
    "severity": "low",
    "entity_url": "",
}


@pytest.fixture
def lxc(client: Client) -> Client:
    client.server.answers = {
        "GET /1.0": {"environment": {"server_clustered": False}},
        "GET /1.0/operations?recursion=1": {
            "running": [OPERATION],
            "success": [{**OPERATION, "id": "a2", "status": "Success", "may_cancel": False}],
        },
        "GET /1.0/operations/b1": OPERATION,
        "GET /1.0/warnings": ["/1.0/warnings/u1", "/1.0/warnings/u2"],
        "GET /1.0/warnings?recursion=1": [WARNING, {**WARNING, "uuid": "u2", "status": "acknowledged"}],
        "GET /1.0/warnings/u1": WARNING,
    }
    return client


def test_operations_of_every_status_are_listed(lxc: Client) -> None:
    assert lxc("operation", "list", "-f", "csv") == (
        "a2,TASK,Updating instance,SUCCESS,NO,2026/11/21 11:25 UTC\n"
        "b1,TASK,Updating instance,RUNNING,YES,2026/11/21 11:25 UTC\n"
    )


def test_a_cluster_has_locations(lxc: Client) -> None:
    lxc.server.answers["GET /1.0"] = {"environment": {"server_clustered": True}}
    assert lxc("operation", "list", "-f", "csv").splitlines()[0].endswith(",none")
    assert "| LOCATION |" in lxc("operation", "list")
    assert lxc("warning", "list", "-f", "csv", "-c", "uL") == "u1,none\n"


def test_an_operation_is_shown_with_times_as_go_writes_them(lxc: Client) -> None:
    lines = lxc("operation", "show", "b1").splitlines()
    assert "created_at: 2026-11-21T11:25:31.9815Z" in lines
    assert "metadata: {}" in lines


def test_an_operation_is_cancelled(lxc: Client) -> None:
    assert lxc("operation", "cancel", "b1") == "Operation b1 deleted\n"
    assert lxc.server.asked == ["DELETE /1.0/operations/b1"]
    lxc.server.answers["DELETE /1.0/operations/b1"] = (400, "This operation can't be cancelled")
    assert lxc.fail("operation", "delete", "b1") == "This operation can't be cancelled"


def test_only_new_warnings_are_listed_unless_all_are_asked_for(lxc: Client) -> None:
    line = 'Missing CGroup blkio,NEW,LOW,2,,"Nov 20, 2026 at 12:05am (UTC)"\n'
    assert lxc("warning", "list", "-f", "csv") == f"u1,{line}"
    assert lxc("warning", "list", "-f", "csv", "--all", "-c", "u,S") == "u1,NEW\nu2,ACKNOWLEDGED\n"
    assert [one["uuid"] for one in yaml.safe_load(lxc("warning", "list", "-f", "json", "-a"))] == ["u1", "u2"]


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("ux", "Unknown column shorthand char 'x' in 'ux'"),
        ("u,,t", "Empty column entry (redundant, leading or trailing command) in 'u,,t'"),
        ("uL", "Can't specify column L when not clustered"),
    ],
)
def test_bad_columns_are_refused(lxc: Client, layout: str, text: str) -> None:
    assert lxc.fail("warning", "list", "-c", layout) == text


def test_a_warning_is_shown_acknowledged_and_deleted(lxc: Client) -> None:
    assert yaml.safe_load(lxc("warning", "show", "u1"))["type"] == "Missing CGroup blkio"
    lxc("warning", "ack", "u1")
    assert lxc.server.sent == {"PUT /1.0/warnings/u1": {"status": "acknowledged"}}
    lxc("warning", "rm", "u1")
    assert lxc.server.asked[-1] == "DELETE /1.0/warnings/u1"


def test_all_warnings_are_deleted_at_once(lxc: Client) -> None:
    lxc("warning", "delete", "--all")
    assert lxc.server.asked[1:] == ["DELETE /1.0/warnings/u1", "DELETE /1.0/warnings/u2"]
    assert "--all" in lxc.fail("warning", "delete", "--all", "u1")
    assert lxc("warning", "delete").startswith("Description:")
    assert lxc.server.asked[3:] == []


def test_aliases_are_kept_in_the_configuration(client: Client, tmp_path: Path) -> None:
    client("alias", "add", "ll", "list -c ns")
    client("alias", "add", "two words", "list")
    assert client("alias", "list", "-f", "csv") == "ll,list -c ns\ntwo words,list\n"
    assert client("alias", "list", "-f", "json") == '{"ll":"list -c ns","two words":"list"}\n'
    client("alias", "rename", "ll", "l2")
    client("alias", "remove", "two words")
    assert yaml.safe_load((tmp_path / "config.yml").read_text())["aliases"] == {"l2": "list -c ns"}


def test_an_alias_is_run(client: Client) -> None:
    client("alias", "add", "ops", "operation list -f csv")
    client.server.answers = {"GET /1.0/operations?recursion=1": {"running": [OPERATION]}, "GET /1.0": {}}
    assert client("ops").startswith("b1,TASK")


def test_aliases_that_are_not_there_or_there_already_are_refused(client: Client) -> None:
    client("alias", "add", "a", "list")
    client("alias", "add", "b", "list")
    assert client.fail("alias", "add", "a", "x") == "Alias a already exists"
    assert client.fail("alias", "rename", "a", "b") == "Alias b already exists"
    assert client.fail("alias", "rename", "c", "d") == "Alias c doesn't exist"
    assert client.fail("alias", "remove", "c") == "Alias c doesn't exist"


def test_an_alias_that_a_command_hides_is_taken_with_a_warning(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightervisor.cli import main

    assert main.run(["alias", "add", "list", "info"], client.environ) == 0
    assert capsys.readouterr().err == "Warning: list is a command already, the alias is not used\n"
