"""The configuration keys of the server. Source: LXD 5.0, server configuration.

A key is declared when what it promises works.
"""

from lightervisor.config import expiry
from lightervisor.config.architectures import NUMBERS
from lightervisor.config.compression import Algorithm
from lightervisor.config.key import key
from lightervisor.config.types import AddressOrSubnet, Bool, Checked, Text, integer, list_of, matching, one_of

key(
    "core.https_address",
    Text,
    scope="server",
    live=True,
    group="core",
    help="Address and port of the HTTPS API, as :8443, [::] or 192.0.2.1:8443; the port is 8443 when not given",
)
key(
    "core.https_allowed_credentials",
    Bool,
    scope="server",
    default="false",
    live=True,
    group="core",
    help="Whether pages of the allowed origin may use the browser's client certificate",
)
key(
    "core.https_allowed_headers",
    Text,
    scope="server",
    live=True,
    group="core",
    help="Access-Control-Allow-Headers of answers to pages of other sites",
)
key(
    "core.https_allowed_methods",
    Text,
    scope="server",
    live=True,
    group="core",
    help="Access-Control-Allow-Methods of answers to pages of other sites",
)
key(
    "core.https_allowed_origin",
    Text,
    scope="server",
    live=True,
    group="core",
    help="The site whose pages may use the API, as https://ui.example.com, or * for all",
)
key(
    "core.https_trusted_proxy",
    list_of(AddressOrSubnet),
    scope="server",
    live=True,
    group="core",
    help="Proxies, by address or subnet, whose PROXY header tells whom they speak for",
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
    "core.metrics_address",
    Text,
    scope="server",
    live=True,
    group="core",
    help="Address and port that serves the metrics and nothing else; the port is 9100 when not given",
)
key(
    "core.metrics_authentication",
    Bool,
    scope="server",
    default="true",
    live=True,
    group="core",
    help="Whether the metrics are told to trusted clients and metrics certificates only",
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
for _kind in ("http", "https"):
    key(
        f"core.proxy_{_kind}",
        matching("proxy", r"([a-z0-9+.-]+://)?[^\s/]+/?", 'Invalid proxy "{value}"'),
        scope="server",
        live=True,
        group="core",
        help=f"The proxy for {_kind}:// addresses of other servers; without it that of the daemon's {_kind}_proxy",
    )
key(
    "core.proxy_ignore_hosts",
    scope="server",
    live=True,
    group="core",
    help="Names, addresses and networks that are reached without a proxy, with commas between; * for all",
)
key(
    "images.auto_update_cached",
    Bool,
    scope="server",
    default="true",
    live=True,
    group="images",
    help="Whether cached images that came from an alias are kept up to date",
)
key(
    "images.auto_update_interval",
    integer(0),
    scope="server",
    default="6",
    live=True,
    group="images",
    help="Hours between two looks for newer images; 0 never looks",
)
key(
    "backups.compression_algorithm",
    Algorithm,
    scope="server",
    default="gzip",
    live=True,
    group="miscellaneous",
    help="How backups are compressed when the request does not say: `gzip`, `zstd -3`, `none`, …",
)
key(
    "images.compression_algorithm",
    Algorithm,
    scope="server",
    default="zstd",
    live=True,
    group="images",
    help="How images made from instances are packed, where the request does not say",
)
key(
    "images.default_architecture",
    one_of(*NUMBERS),
    scope="server",
    live=True,
    group="images",
    help="The architecture of images whose alias names none; without it this host's",
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
