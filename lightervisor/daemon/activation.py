"""`lxd activateifneeded`: after boot, wake a socket-activated daemon only when it has something to do.

Source: LXD, lxd activateifneeded. The database is read as it lies there, whatever daemon wrote it: this must neither
upgrade it nor wait for anybody.
"""

import json
import sqlite3
from pathlib import Path

from lightervisor.client.light import Server
from lightervisor.client.light_http import unix_connector
from lightervisor.config.types import is_true
from lightervisor.config.volatile_keys import HANDED_OVER
from lightervisor.daemon.options import Paths
from lightervisor.errors import Unavailable

LISTENS = "select 1 from server_config where key = 'core.https_address' and value != ''"
INSTANCES = "select project, config, profiles from instances"
PROFILES = "select project, name, config from profiles"


def activate_if_needed(paths: Paths) -> None:
    """Connect to the socket, which starts the daemon, if it is to listen or to start an instance.

    Raises Unavailable when nothing answers there.
    """
    if not is_needed(paths.state / "database" / "lightervisor.db"):
        return
    try:
        Server(unix_connector(str(paths.socket)), name="local").get("/1.0")
    except OSError as error:
        remedy = "systemctl start lxd.socket"
        raise Unavailable(
            "daemon", text=f"nothing answers on {paths.socket}: {error.strerror}", remedy=remedy
        ) from error


def is_needed(database: Path) -> bool:
    """Whether a daemon with this database has something to do after the host has booted."""
    if not database.exists():
        return False
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        if connection.execute(LISTENS).fetchone():
            return True
        rows = connection.execute(PROFILES)
        profiles = {(project, name): json.loads(config) for project, name, config in rows}
        for project, config, names in connection.execute(INSTANCES):
            layers = [profiles.get((project, name), {}) for name in json.loads(names)]
            merged: dict[str, str] = {}
            for layer in [*layers, json.loads(config)]:
                merged.update(layer)
            autostart = merged.get("boot.autostart")
            if HANDED_OVER in merged:
                continue
            was_running = merged.get("volatile.last_state.power") == "RUNNING"
            if is_true(autostart) if autostart is not None else was_running:
                return True
        return False
    finally:
        connection.close()
