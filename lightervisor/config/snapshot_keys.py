"""Keys about snapshots that are taken, named and deleted by themselves. Source: LXD 5.0, instance configuration."""

from lightervisor.config import expiry, retention, schedule
from lightervisor.config.key import INSTANCE, key
from lightervisor.config.types import Bool, Checked, Text

key(
    "snapshots.expiry",
    Checked("expiry", expiry.check),
    scope=INSTANCE,
    live=True,
    group="snapshots",
    help="How long new snapshots are kept, such as 1d 12H: in minutes M, hours H, days d, weeks w, months m, years y",
)
key(
    "snapshots.pattern",
    Text,
    scope=INSTANCE,
    default="snap%d",
    live=True,
    group="snapshots",
    help="Names of new snapshots: a template that knows creation_date; %d is the next number",
)
key(
    "snapshots.retention",
    Checked("retention", retention.check),
    scope=INSTANCE,
    live=True,
    group="snapshots",
    help="How scheduled snapshots are thinned out: 24h,7d,4w keeps one of each hour, day, week (m months, y years)",
)
key(
    "snapshots.schedule",
    Checked("schedule", schedule.check),
    scope=INSTANCE,
    live=True,
    group="snapshots",
    help="When snapshots are taken: fields of cron, or @hourly, @daily, @weekly, @monthly, @yearly, @startup, @never",
)
key(
    "snapshots.schedule.stopped",
    Bool,
    scope=INSTANCE,
    default="false",
    live=True,
    group="snapshots",
    help="Also take them while the instance is stopped",
)
