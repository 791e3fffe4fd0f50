"""Configuration keys of custom volumes. Source: LXD 5.0, storage volume configuration of `dir`."""

from lightervisor.config import schedule
from lightervisor.config.key import key
from lightervisor.config.types import Bool, Checked, Expiry, Size, Text

SCOPE = "volume"
DEFAULTS = "volume."  # before the same key in a pool's configuration: what new volumes get

key("size", Size, scope=SCOPE, help="Most bytes; needs a pool with quotas")
key("security.shifted", Bool, scope=SCOPE, help="Suits several id maps at once, as every volume does here")
key("security.unmapped", Bool, scope=SCOPE, help="Show the owners on disk as they are, without an id map")
key("snapshots.expiry", Expiry, scope=SCOPE, help="When snapshots expire")
key("snapshots.pattern", Text, scope=SCOPE, help="Names of scheduled snapshots")
key("snapshots.schedule", Checked("schedule", schedule.check), scope=SCOPE, help="When snapshots are taken")
key("user.*", scope=SCOPE, help="Anything a user wants to note")
