"""Copies of the files of instances, with progress, which end when their operation is cancelled."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lightervisor.config.merge import Devices
from lightervisor.config.names import volume_name
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel.copies import Watch
from lightervisor.kernel.threads import interruptible
from lightervisor.storage import carrying
from lightervisor.storage.carrying import Goods
from lightervisor.storage.driver import Snapshot, Still, Volume

Told = Callable[[str], None]


class Origin(NamedTuple):
    """The files of an instance, or of one of its snapshots, in a pool."""

    pool: str
    project: str
    instance: str
    snapshot: str


class Target(NamedTuple):
    """Where the files of an instance are to be."""

    pool: str
    project: str
    instance: str


class VolumeCopies:
    """Copies the volumes of instances, over whichever pools they are in."""

    def __init__(self, volumes: InstanceVolumes) -> None:
        self._volumes = volumes

    def origin(self, project: str, source: str, devices: Devices) -> Origin:
        """The files of an instance with these expanded devices, or of a snapshot of it ("c1/snap0")."""
        instance, _, snapshot = source.partition("/")
        return Origin(self._volumes.pool_of(devices), project, instance, snapshot)

    async def copy(
        self, origin: Origin, target: Target, snapshots: Sequence[str], still: Still | None, told: Told
    ) -> None:
        """Make the volume of an instance, with these snapshots of the source, the oldest first.

        `told` is given LXD's line of progress. Raises HostError, NotFound.
        """
        loop, begun = asyncio.get_running_loop(), time.monotonic()

        def tell(written: int) -> None:
            speed = written / max(time.monotonic() - begun, 0.001)
            loop.call_soon_threadsafe(told, f"{target.instance}: {written / 1e6:.2f}MB ({speed / 1e6:.2f}MB/s)")

        watch = Watch(tell)
        source = Volume("containers", volume_name(origin.project, origin.instance))
        files = Snapshot(source, origin.snapshot) if origin.snapshot else source
        goods = Goods(self._volumes.driver(origin.pool), files, snapshots)
        to = self._volumes.driver(target.pool)
        volume = Volume("containers", volume_name(target.project, target.instance))
        await interruptible(watch.cancel, carrying.copy, goods, to, volume, still, watch)
