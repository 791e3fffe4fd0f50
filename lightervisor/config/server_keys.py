"""The configuration keys of the server. Source: LXD 5.0, server configuration.

A key is declared when what it promises works.
"""

from lightervisor.config import expiry
from lightervisor.config.key import key
from lightervisor.config.types import Bool, Checked, Text, integer

key(
    "core.https_address",
    Text,
    scope="server",
    live=True,
    group="core",
    help="Address and port of the HTTPS API, as :8443, [::] or 192.0.2.1:8443; the port is 8443 when not given",
)
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
    "core.remote_token_expiry",
    Checked("expiry", expiry.check),
    scope="server",
    live=True,
    group="core",
    help="How long a token of `lxc config trust add` may be used, such as 1d 12H; without it, until it is",
)
key(
    "core.trust_ca_certificates",
    Bool,
    scope="server",
    default="false",
    live=True,
    group="core",
    help="Whether clients whose certificate `server.ca` signed are trusted without being added",
)
key(
    "core.trust_password",
    scope="server",
    live=True,
    group="core",
    help="What a client can show to become trusted; stored hashed, shown as true",
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
