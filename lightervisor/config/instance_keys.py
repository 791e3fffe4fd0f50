"""The configuration keys of instances and profiles. Source: LXD 5.0, instance configuration."""

from lightervisor.config import (
    confinement_keys,
    idmap_keys,
    limit_keys,
    machine_keys,
    migration_keys,
    snapshot_keys,
    volatile_keys,
)
from lightervisor.config.cloud_config import NetworkConfig, UserData
from lightervisor.config.key import INSTANCE, key
from lightervisor.config.types import (
    Blob,
    Bool,
    Int,
    Text,
    integer,
    list_of,
)

SCOPE = INSTANCE
MORE = (
    confinement_keys,
    idmap_keys,
    limit_keys,
    machine_keys,
    migration_keys,
    snapshot_keys,
    volatile_keys,
)  # importing them declares their keys

key(
    "boot.autostart",
    Bool,
    scope=SCOPE,
    group="boot",
    help="Start with the daemon: true always, false never, unset as it was when the host went down",
)
key(
    "boot.autostart.delay",
    integer(0),
    scope=SCOPE,
    default="0",
    group="boot",
    help="Seconds to wait after starting this instance before the next one",
)
key("boot.autostart.priority", Int, scope=SCOPE, default="0", group="boot", help="Order of autostart, higher first")
key(
    "boot.host_shutdown_timeout",
    integer(0),
    scope=SCOPE,
    default="30",
    live=True,
    group="boot",
    help="Seconds this instance has to stop when the host shuts down",
)
key(
    "boot.stop.priority",
    Int,
    scope=SCOPE,
    default="0",
    group="boot",
    help="Order of stopping at host shutdown, higher first",
)
key(
    "cloud-init.network-config",
    NetworkConfig,
    scope=SCOPE,
    group="cloud-init",
    help="cloud-init network configuration, read by image templates and the guest API",
)
key(
    "cloud-init.user-data",
    UserData,
    scope=SCOPE,
    group="cloud-init",
    help="cloud-init user data, read by image templates and the guest API",
)
key(
    "cloud-init.vendor-data",
    UserData,
    scope=SCOPE,
    group="cloud-init",
    help="cloud-init vendor data, read by image templates and the guest API",
)
key(
    "environment.*",
    Text,
    scope=SCOPE,
    live=True,
    group="miscellaneous",
    help="Environment variable for init and for new commands",
)
key(
    "linux.kernel_modules",
    list_of(Text),
    scope=SCOPE,
    live=True,
    group="miscellaneous",
    help="Modules to load on the host before the instance starts",
)
key("linux.sysctl.*", Text, scope=SCOPE, group="miscellaneous", help="Kernel setting of the instance's namespaces")
key(
    "security.devlxd",
    Bool,
    scope=SCOPE,
    default="true",
    live=True,
    group="security",
    help="Offer the guest API on /dev/lxd/sock",
)
key(
    "security.devlxd.images",
    Bool,
    scope=SCOPE,
    default="false",
    live=True,
    group="security",
    help="Let the guest take public and cached images of the host through the guest API",
)
key(
    "security.nesting",
    Bool,
    scope=SCOPE,
    default="false",
    live=True,
    group="security",
    help="Allow containers inside",
)
key(
    "security.privileged",
    Bool,
    scope=SCOPE,
    default="false",
    group="security",
    help="Root inside is root outside: no protection from the guest",
)
key(
    "security.protection.delete",
    Bool,
    scope=SCOPE,
    default="false",
    live=True,
    group="security",
    help="Refuse to delete the instance",
)
key(
    "security.protection.shift",
    Bool,
    scope=SCOPE,
    default="false",
    live=True,
    group="security",
    help="Refuse to change the owners of files on disk for another id map",
)
key(
    "user.*",
    Blob,
    scope=SCOPE,
    live=True,
    group="miscellaneous",
    help="Free for the user; templates and the guest API can read it",
)
key("image.*", Blob, scope=SCOPE, group="miscellaneous", help="Properties of the image the instance was made from")
