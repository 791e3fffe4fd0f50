"""Keys for instances on the move, and for hosts with special hardware. Source: LXD 5.0, instance configuration."""

from lightervisor.config.key import INSTANCE, key
from lightervisor.config.types import Bool, Text, Uint32, one_of

key(
    "cluster.evacuate",
    one_of("auto", "migrate", "live-migrate", "stop"),
    scope=INSTANCE,
    default="auto",
    group="cluster",
    help="What to do with the instance when its cluster member is evacuated",
)
key(
    "migration.incremental.memory",
    Bool,
    scope=INSTANCE,
    default="false",
    live=True,
    group="migration",
    help="Move memory step by step while the instance runs: kept for LXD, without effect here, which the log says",
)
key(
    "migration.incremental.memory.goal",
    Uint32,
    scope=INSTANCE,
    default="70",
    live=True,
    group="migration",
    help="Percentage of memory to have moved before the instance is stopped",
)
key(
    "migration.incremental.memory.iterations",
    Uint32,
    scope=INSTANCE,
    default="10",
    live=True,
    group="migration",
    help="Most steps before the instance is stopped",
)
key(
    "migration.stateful",
    Bool,
    scope=INSTANCE,
    default="false",
    group="migration",
    help="Start without a console, so that memory can be kept: stateful stops and snapshots, live moves",
)
key(
    "nvidia.driver.capabilities",
    Text,
    scope=INSTANCE,
    default="compute,utility",
    group="nvidia",
    help="What of the driver the instance gets",
)
key("nvidia.require.cuda", Text, scope=INSTANCE, group="nvidia", help="Version of CUDA that is needed")
key("nvidia.require.driver", Text, scope=INSTANCE, group="nvidia", help="Version of the driver that is needed")
key(
    "nvidia.runtime",
    Bool,
    scope=INSTANCE,
    default="false",
    group="nvidia",
    help="Pass the host's NVIDIA libraries to the instance",
)
