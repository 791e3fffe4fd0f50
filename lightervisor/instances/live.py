"""Changes to an instance's configuration as they reach it: its next id map, its limits if it runs, its devices."""

import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from lightervisor.config.merge import Expanded
from lightervisor.config.names import volume_name
from lightervisor.db.instances import InstanceRow, InstanceRows
from lightervisor.errors import Failure
from lightervisor.instances import cloud_init, disk_limits
from lightervisor.instances.devices import InstanceDevices
from lightervisor.instances.disk_limits import DiskLimits
from lightervisor.instances.guest_api import GuestApi
from lightervisor.instances.idmaps import KEYS as IDMAP_KEYS
from lightervisor.instances.idmaps import IdMaps
from lightervisor.instances.volumes import InstanceVolumes, size_of
from lightervisor.kernel import modules
from lightervisor.kernel.guests import Guest, guest_of
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.runtime.containers import Containers
from lightervisor.runtime.limiter import Wanted

log = logging.getLogger(__name__)


class LiveChanges:
    """Applies what changed; what fails changes nothing."""

    def __init__(
        self,
        rows: InstanceRows,
        devices: InstanceDevices,
        volumes: InstanceVolumes,
        idmaps: IdMaps,
        guest_api: GuestApi,
        containers: Containers,
    ) -> None:
        self._rows, self._devices, self._volumes, self._disks = rows, devices, volumes, DiskLimits(volumes)
        self._idmaps, self._guest_api, self._containers = idmaps, guest_api, containers

    def together(self) -> AbstractAsyncContextManager[None]:
        """What is applied while this lasts is applied to many: what concerns them all is done once, at its end."""
        return self._containers.changing_together()

    async def apply(self, row: InstanceRow, before: Expanded, after: Expanded) -> None:
        """Make an instance follow a change: its devices, and its limits if it runs. What fails changes nothing.

        What takes effect at a start only does so when the guest reboots, too.
        """
        if before == after:
            return
        await self._containers.confinement.check(before.config, after.config)
        async with self._resized(row, before, after):
            if all(before.config.get(key) == after.config.get(key) for key in IDMAP_KEYS):
                await self._apply(row, before, after)
                return
            with self._idmaps.chosen(row, after) as next_map:
                await self._apply(row, before, after)
                await self._rows.merge_config(row.project, row.name, next_map)

    @asynccontextmanager
    async def _resized(self, row: InstanceRow, before: Expanded, after: Expanded) -> AsyncGenerator[None, None]:
        """Its root disk has its new size; what fails then puts the old one back."""
        if size_of(before.devices) == size_of(after.devices):
            yield
            return
        await self._volumes.resize(row.project, row.name, after.devices)
        try:
            yield
        except BaseException:
            await finished(self._size_back(row, before))
            raise

    async def _apply(self, row: InstanceRow, before: Expanded, after: Expanded) -> None:
        containers, name = self._containers, volume_name(row.project, row.name)
        guest = self._guest(name)
        if guest is not None:
            await in_thread(modules.load, modules.wanted(after.config, besides=before.config))
        limits_changed = guest is not None and _limits_of(before) != _limits_of(after)
        is_first = guest is not None and containers.note_change(name)
        try:
            if limits_changed:
                await in_thread(self._limit, row, after)
                await self._devices.limit(row, before, after)
            if guest is not None:
                await self._guest_api.follow(row, before.config, after.config, guest, self._guest)
            outcome = await self._devices.change(row, before, after, guest)
            if outcome.volatile:
                await self._rows.merge_config(row.project, row.name, outcome.volatile)
            if outcome.failure is not None:
                raise outcome.failure
        except BaseException:
            await finished(self._put_back(row, before, after, is_limited=limits_changed))
            if is_first:
                containers.forget_change(name)
            raise
        if cloud_init.is_to_run_again(before, after):
            await self._rows.merge_config(row.project, row.name, {cloud_init.IDENTITY: cloud_init.new_identity()})
        if guest is not None:
            await containers.confinement.change(name, before.config, after.config)
            self._guest_api.tell(row, before, after, outcome.replaced)

    async def _size_back(self, row: InstanceRow, before: Expanded) -> None:
        try:
            await self._volumes.resize(row.project, row.name, before.devices)
        except Failure as failure:  # it has been filled meanwhile
            log.warning("instance %s keeps its new size: %s", row.name, failure.message())

    async def _put_back(self, row: InstanceRow, before: Expanded, after: Expanded, *, is_limited: bool) -> None:
        """Undo what was done for the instance as a whole; devices have put themselves back."""
        guest = self._guest(volume_name(row.project, row.name))
        if guest is None:  # it has ended meanwhile, and all that with it
            return
        if is_limited:
            await in_thread(self._limit, row, before)
            await self._devices.limit(row, after, Expanded(before.config, before.devices))
        await self._guest_api.follow(row, after.config, before.config, guest, self._guest)

    def _limit(self, row: InstanceRow, expanded: Expanded) -> None:
        wanted = Wanted(expanded.config, self._disks.throttles(row, expanded))
        self._containers.apply_limits(volume_name(row.project, row.name), wanted)

    def _guest(self, container: str) -> Guest | None:
        return guest_of(self._containers.init_pid(container))


def _limits_of(expanded: Expanded) -> tuple[object, ...]:
    """What decides the limits of a running instance."""
    keys = {key: value for key, value in expanded.config.items() if key.startswith("limits.")}
    return keys, expanded.devices if disk_limits.are_given(expanded.devices) else {}
