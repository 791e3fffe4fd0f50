"""The configuration keys of id maps. Source: LXD 5.0, instance configuration."""

from lightervisor.config.key import key
from lightervisor.config.types import Bool, Checked, integer
from lightervisor.kernel import idmap_raw
from lightervisor.kernel.idmap import FULL_RANGE, SMALLEST

SCOPE = "instance"

key(
    idmap_raw.KEY,
    Checked("blob", idmap_raw.check, has_lines=True),
    scope=SCOPE,
    group="raw",
    help='Lines of "both|uid|gid HOST GUEST" that map single ids or ranges',
)
key(
    "security.idmap.base",
    integer(0, FULL_RANGE - 1, "uint32"),
    scope=SCOPE,
    group="security",
    help="First host id of an isolated map; chosen by the server when unset",
)
key(
    "security.idmap.isolated",
    Bool,
    scope=SCOPE,
    default="false",
    group="security",
    help="Use a range of host ids that no other instance has",
)
key(
    "security.idmap.size",
    integer(1, FULL_RANGE - 1, "uint32"),
    scope=SCOPE,
    default=str(SMALLEST),
    group="security",
    help="Number of ids of an isolated map",
)
