"""The configuration keys of the server. Source: LXD 5.0, server configuration.

A key is declared when what it promises works.
"""

from lightervisor.config.key import key
from lightervisor.config.types import integer

key(
    "core.shutdown_timeout",
    integer(0),
    scope="server",
    default="5",
    live=True,
    group="core",
    help="Minutes to wait for running operations when the daemon stops",
)
key(
    "images.remote_cache_expiry",
    integer(0),
    scope="server",
    default="10",
    live=True,
    group="images",
    help="Days after which an unused cached image is removed",
)
key("user.*", scope="server", live=True, group="user", help="Free text of the administrator's")
