"""What the daemon is made of, and what happens to all of it as it lives: recovery, start, tidying, end."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from lightervisor.api.server import Server
from lightervisor.daemon.network_api import NetworkApi
from lightervisor.daemon.server_config import ServerConfig
from lightervisor.db.instances import InstanceRow
from lightervisor.db.warnings import WarningRows
from lightervisor.devlxd.server import GuestServer
from lightervisor.errors import Failure
from lightervisor.events.stream import Events
from lightervisor.images.downloads import Downloads
from lightervisor.images.store import Images
from lightervisor.images.upkeep import Upkeep
from lightervisor.instances.autostart import Due
from lightervisor.instances.boot import Boot
from lightervisor.instances.guest_sockets import GuestSockets
from lightervisor.instances.logs import Logs
from lightervisor.instances.power import Power
from lightervisor.instances.snapshot_schedule import SnapshotSchedule
from lightervisor.networks.managed import Networks
from lightervisor.operations.journal import Journal
from lightervisor.operations.operations import Operations
from lightervisor.storage.pools import Pools
from lightervisor.storage.volumes import Volumes

log = logging.getLogger(__name__)
ATTEMPTS, BETWEEN_ATTEMPTS_S = 3, 5.0
DAY_S = 24 * 3600
AUTOSTART_WARNING = "Instance autostart failure"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the daemon's life needs to call."""

    server: Server
    boot: Boot
    power: Power
    operations: Operations
    journal: Journal
    pools: Pools
    volumes: Volumes
    networks: Networks
    images: Images
    downloads: Downloads
    upkeep: Upkeep
    snapshot_schedule: SnapshotSchedule
    events: Events
    server_config: ServerConfig
    warnings: WarningRows
    logs: Logs
    network_api: NetworkApi
    metrics_api: NetworkApi
    guest_server: GuestServer
    guest_sockets: GuestSockets
    wanted_at_boot: Callable[[], list[Due]]

    async def recover(self) -> None:
        """Bring the host to what the database says, undo what was left unfinished, find and start instances."""
        await self.pools.start()
        await self.volumes.recover()
        self.images.start()
        self.downloads.forget_old()
        await self.images.forget_deleted(self.pools.usable())
        for name in await self.networks.start_all():
            log.warning("network %s could not be started", name)
        self.guest_sockets.start()
        await self.boot.find_running()
        await self.journal.recover()

    async def start_instances(self) -> None:
        """Start what the boot asks for, in order; what fails is tried again after the others, then warned of."""
        waiting = self.wanted_at_boot()
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(BETWEEN_ATTEMPTS_S)
            waiting = [due for due in waiting if not await self._start_at_boot(*due)]
            if not waiting:
                return

    async def _start_at_boot(self, row: InstanceRow, delay_s: float) -> bool:
        place = f"/1.0/instances/{row.name}"
        try:
            await self.power.start_at_boot(row.project, row.name)
        except Failure as failure:
            log.warning("instance %s could not be started: %s", row.name, failure.message())
            await self.warnings.upsert(AUTOSTART_WARNING, failure.message(), entity_url=place)
            return False
        await self.warnings.resolve(AUTOSTART_WARNING, entity_url=place)
        await asyncio.sleep(delay_s)
        return True

    async def tidy(self) -> None:
        """Once a day, for ever: what has had its time."""
        while True:
            await self.logs.expire(now_s=time.time())
            await asyncio.sleep(DAY_S)

    async def stop_instances(self, *, force: bool) -> None:
        """The host goes down: let operations end, for `core.shutdown_timeout` unless forced, then stop everything."""
        minutes = float(self.server_config.all().get("core.shutdown_timeout") or 5)
        await self.operations.settle(timeout_s=0 if force else minutes * 60)
        await self.power.stop_all()

    async def finish(self) -> None:
        """End what still runs, and take what was deleted off the disks; listeners are told."""
        await self.network_api.close()
        await self.metrics_api.close()
        await self.operations.close(timeout_s=5)
        self.guest_sockets.stop()
        self.events.close()
        await self.pools.stop()
