"""Changes to an instance's configuration as they reach it: its next id map, its limits if it runs, its devices."""

from lightervisor.config.merge import Expanded
from lightervisor.config.names import volume_name
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.instances import disk_limits
from lightervisor.instances.devices import InstanceDevices
from lightervisor.instances.disk_limits import DiskLimits
from lightervisor.instances.idmaps import KEYS as IDMAP_KEYS
from lightervisor.instances.idmaps import IdMaps
from lightervisor.kernel import modules
from lightervisor.kernel.guests import Guest
from lightervisor.kernel.idmap import map_of_process
from lightervisor.kernel.threads import in_thread
from lightervisor.runtime.containers import Containers
from lightervisor.runtime.limiter import Wanted


class LiveChanges:
    """Applies what changed; what fails changes nothing."""

    def __init__(
        self,
        rows: InstanceRows,
        devices: InstanceDevices,
        disks: DiskLimits,
        idmaps: IdMaps,
        containers: Containers,
    ) -> None:
        self._rows, self._devices, self._disks = rows, devices, disks
        self._idmaps, self._containers = idmaps, containers

    async def apply(self, row: InstanceRow, before: Expanded, after: Expanded) -> None:
        """Make an instance follow a change: its devices, and its limits if it runs. What fails changes nothing.

        What takes effect at a start only does so when the guest reboots, too.
        """
        if before == after:
            return
        if all(before.config.get(key) == after.config.get(key) for key in IDMAP_KEYS):
            await self._apply(row, before, after)
            return
        with self._idmaps.chosen(row, after) as next_map:
            await self._apply(row, before, after)
            await self._rows.merge_config(row.project, row.name, next_map)

    async def _apply(self, row: InstanceRow, before: Expanded, after: Expanded) -> None:
        containers, name = self._containers, volume_name(row.project, row.name)
        guest = guest_of(containers, name)
        if guest is not None:
            await in_thread(modules.load, modules.wanted(after.config, besides=before.config))
        limits_changed = guest is not None and _limits_of(before) != _limits_of(after)
        if limits_changed:
            await in_thread(self._limit, row, after)
        outcome = await self._devices.change(row, before, after, guest)
        if outcome.volatile:
            await self._rows.merge_config(row.project, row.name, outcome.volatile)
        if outcome.failure is not None:
            if limits_changed:
                await in_thread(self._limit, row, before)
            raise outcome.failure
        if guest is not None:
            containers.note_change(name)

    def _limit(self, row: InstanceRow, expanded: Expanded) -> None:
        wanted = Wanted(expanded.config, self._disks.throttles(row, expanded))
        self._containers.apply_limits(volume_name(row.project, row.name), wanted)


def _limits_of(expanded: Expanded) -> tuple[object, ...]:
    """What decides the limits of a running instance."""
    keys = {key: value for key, value in expanded.config.items() if key.startswith("limits.")}
    return keys, expanded.devices if disk_limits.are_given(expanded.devices) else {}


def guest_of(containers: Containers, container: str) -> Guest | None:
    """What devices need to know of a running container, None when it has ended."""
    pid = containers.init_pid(container)
    if pid is None:
        return None
    try:
        return Guest(pid, map_of_process(pid))
    except OSError:  # it has just ended
        return None
