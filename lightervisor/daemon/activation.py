"""`lxd activateifneeded`: after boot, wake a socket-activated daemon only when it has something to start."""

import sqlite3

from lightervisor.client.light import Server
from lightervisor.client.light_http import unix_connector
from lightervisor.daemon.options import Paths

WANTED = """
select 1 from instances where json_extract(config, '$."boot.autostart"') = 'true'
or json_extract(config, '$."volatile.last_state.power"') = 'RUNNING' limit 1
"""


def activate_if_needed(paths: Paths) -> None:
    """Connect to the socket, which starts the daemon, if an instance is to be started."""
    database = paths.state / "database" / "lightervisor.db"
    if not database.exists():
        return
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        needed = connection.execute(WANTED).fetchone() is not None or _profile_wants(connection)
    if needed:
        Server(unix_connector(str(paths.socket)), name="local").get("/1.0")


def _profile_wants(connection: sqlite3.Connection) -> bool:
    query = "select 1 from profiles where json_extract(config, '$.\"boot.autostart\"') = 'true' limit 1"
    return connection.execute(query).fetchone() is not None
