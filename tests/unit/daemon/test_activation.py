"""Whether a daemon is woken after the host has booted."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from lightervisor.daemon.activation import is_needed
from lightervisor.db.database import Database


def database(
    tmp_path: Path,
    *,
    config: dict[str, str] | None = None,
    profile: dict[str, str] | None = None,
    server: dict[str, str] | None = None,
) -> Path:
    """The daemon's own database with one instance."""
    path = tmp_path / "lightervisor.db"
    made = Database(path)
    made.open()
    made.close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "insert into instances (name, architecture, created_at, last_used_at, config, profiles) "
            "values ('c1', 'x86_64', '', '', ?, '[\"default\"]')",
            (json.dumps(config or {}),),
        )
        connection.execute("update profiles set config = ?", (json.dumps(profile or {}),))
        connection.executemany("insert into server_config values (?, ?)", (server or {}).items())
    connection.close()
    return path


@pytest.mark.parametrize(
    ("config", "profile", "needed"),
    [
        ({}, {}, False),
        ({"volatile.last_state.power": "RUNNING"}, {}, True),
        ({"volatile.last_state.power": "STOPPED"}, {}, False),
        ({"boot.autostart": "true"}, {}, True),
        ({"boot.autostart": "1"}, {}, True),
        ({}, {"boot.autostart": "true"}, True),
        ({"boot.autostart": "false"}, {"boot.autostart": "true"}, False),
        ({"boot.autostart": "false", "volatile.last_state.power": "RUNNING"}, {}, False),
    ],
)
def test_an_instance_that_is_to_run_wakes_it(
    tmp_path: Path, config: dict[str, str], profile: dict[str, str], needed: bool
) -> None:
    assert is_needed(database(tmp_path, config=config, profile=profile)) is needed


def test_an_address_to_listen_on_wakes_it(tmp_path: Path) -> None:
    assert is_needed(database(tmp_path, server={"core.https_address": ":8443"}))


def test_without_a_database_nothing_is_needed(tmp_path: Path) -> None:
    assert not is_needed(tmp_path / "none.db")
