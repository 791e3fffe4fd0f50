"""What the daemon is made of, and what happens to all of it as it lives: recovery, start, tidying, end."""

import asyncio
import logging
import time
from dataclasses import dataclass

from lightervisor.api.server import Server
from lightervisor.backups.backups import Backups
from lightervisor.backups.expiry import BackupExpiry
from lightervisor.backups.volume_backups import VolumeBackups
from lightervisor.daemon.network_api import NetworkApi
from lightervisor.daemon.server_config import ServerConfig
from lightervisor.db.warnings import WarningRows
from lightervisor.devlxd.server import GuestServer
from lightervisor.events.stream import Events
from lightervisor.images.downloads import Downloads
from lightervisor.images.store import Images
from lightervisor.images.upkeep import Upkeep
from lightervisor.instances.autostart import Autostart
from lightervisor.instances.boot import Boot
from lightervisor.instances.guest_roots import GuestRoots
from lightervisor.instances.guest_sockets import GuestSockets
from lightervisor.instances.hotplug import Hotplug
from lightervisor.instances.logs import Logs
from lightervisor.instances.power import Power
from lightervisor.instances.sftp import Sftp
from lightervisor.instances.snapshot_schedule import SnapshotSchedule
from lightervisor.networks.managed import Networks
from lightervisor.operations.journal import Journal
from lightervisor.operations.operations import Operations
from lightervisor.storage.pools import Pools
from lightervisor.storage.volume_schedule import VolumeSchedule
from lightervisor.storage.volumes import Volumes

log = logging.getLogger(__name__)
DAY_S = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the daemon's life needs to call."""

    server: Server
    boot: Boot
    guest_roots: GuestRoots
    sftp: Sftp
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
    volume_schedule: VolumeSchedule
    hotplug: Hotplug
    backups: Backups
    volume_backups: VolumeBackups
    backup_expiry: BackupExpiry
    events: Events
    server_config: ServerConfig
    warnings: WarningRows
    logs: Logs
    network_api: NetworkApi
    metrics_api: NetworkApi
    guest_server: GuestServer
    guest_sockets: GuestSockets
    autostart: Autostart

    async def recover(self) -> None:
        """Bring the host to what the database says, undo what was left unfinished, find and start instances."""
        await self.pools.start()
        await self.volumes.recover()
        self.images.start()
        await self.backups.start()
        await self.volume_backups.start()
        self.downloads.forget_old()
        await self.images.forget_deleted(self.pools.usable())
        for name in await self.networks.start_all():
            log.warning("network %s could not be started", name)
        self.guest_sockets.start()
        await self.boot.find_running()
        await self.guest_roots.recover()
        await self.journal.recover()
        await self.power.memory.settle()

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
        await self.sftp.close()
        await self.operations.close(timeout_s=5)
        self.guest_sockets.stop()
        self.events.close()
        await self.pools.stop()
