"""Configuration keys that every pool has. Source: LXD 5.0, storage pool configuration of `dir`."""

from lightervisor.config.key import Key, key
from lightervisor.config.types import Bool, Expiry, Size, Text


def pool_keys(scope: str) -> tuple[Key, ...]:
    """Declare the keys for the pools of one driver."""
    return (
        key("source", scope=scope, help="Directory of the host that carries the pool; one of our own when unset"),
        key("rsync.bwlimit", Size, scope=scope, default="0", help="Most bytes per second of a transfer; 0 is no limit"),
        key("rsync.compression", Bool, scope=scope, default="true", help="Whether transfers are compressed"),
        key("volume.size", Size, scope=scope, help="Size of new volumes"),
        key("volume.security.shifted", Bool, scope=scope, help="Whether new volumes suit several id maps at once"),
        key("volume.security.unmapped", Bool, scope=scope, help="Whether new volumes are used without an id map"),
        key("volume.snapshots.expiry", Expiry, scope=scope, help="When snapshots of new volumes expire"),
        key("volume.snapshots.pattern", Text, scope=scope, help="Names of scheduled snapshots of new volumes"),
        key("volume.snapshots.schedule", Text, scope=scope, help="When snapshots of new volumes are taken"),
        key("volatile.initial_source", scope=scope, help="The source that was asked for when the pool was made"),
        key("user.*", scope=scope, help="Anything a user wants to note"),
    )
