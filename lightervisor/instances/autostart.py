"""Which instances start with the daemon, and in which order. Source: LXD, boot.autostart."""

from typing import NamedTuple

from lightervisor.config.types import is_true
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.instances.catalog import Catalog


class Due(NamedTuple):
    """An instance to be started, and the seconds to wait after it."""

    row: InstanceRow
    delay_s: float


def wanted_at_boot(rows: InstanceRows, catalog: Catalog) -> list[Due]:
    """Stopped instances to be started with the daemon, in order: the higher priority, then the name."""
    wanted: list[tuple[int, str, Due]] = []
    for row in rows.list():
        config = catalog.expand(row).config
        autostart = config.get("boot.autostart")
        was_running = row.config.get("volatile.last_state.power") == "RUNNING"
        is_wanted = is_true(autostart) if autostart is not None else was_running
        if is_wanted and catalog.status(row.project, row.name) == "Stopped":
            priority = int(config.get("boot.autostart.priority") or 0)
            wanted.append((-priority, row.name, Due(row, float(config.get("boot.autostart.delay") or 0))))
    return [due for _, _, due in sorted(wanted, key=lambda one: one[:2])]
