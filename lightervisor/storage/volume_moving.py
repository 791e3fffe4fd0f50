"""Moving a custom volume to another pool of this server. Source: LXD, POST …/volumes/custom/<name> with a pool; 5.0.2.

All its files are in the new pool before its row says so, and with it the disks that show it, in one transaction; then
the old ones go. An interrupted move is undone until that moment and finished after it.
"""

import logging
from contextlib import suppress

import msgspec

from lightervisor.config.names import VolumePlace
from lightervisor.db.storage_volumes import MOVED, PENDING, VolumeRow
from lightervisor.errors import Failure, NotFound
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Run
from lightervisor.storage import carrying
from lightervisor.storage.carrying import Goods, Place
from lightervisor.storage.volume_acts import VolumeActs, volume_of
from lightervisor.storage.volume_rules import check_name
from lightervisor.storage.volumes import Volumes
from lightervisor.storage.watched import shown, watched

log = logging.getLogger(__name__)


class VolumeMoving:
    """Moves custom volumes."""

    def __init__(self, acts: VolumeActs, volumes: Volumes) -> None:
        self._acts, self._volumes = acts, volumes

    def move(
        self, place: VolumePlace, target: VolumePlace, requestor: EventLifecycleRequestor | None = None
    ) -> Operation:
        """Start moving a volume that no running instance shows, with its snapshots, to another pool or name.

        Raises NotFound, Invalid, Conflict with LXD's texts.
        """
        check_name(target.name)
        self._acts.row(place)
        self._acts.pools.driver(target.pool)
        self._volumes.check_free(target)
        self._acts.check_unused(place)

        async def work(run: Run) -> None:
            async with self._acts.replaced(place):
                row = await self._volumes.settled(place)
                try:
                    await self._move(run, row, place, target)
                finally:
                    await finished(self._finish(target))
            self._acts.publish("renamed", target, requestor, {"old_name": place.name, "old_pool": place.pool})

        return self._acts.start("Moving storage volume", work, [place, target], cancellable=True)

    async def _move(self, run: Run, row: VolumeRow, place: VolumePlace, target: VolumePlace) -> None:
        holds = msgspec.structs.replace(row, pool=target.pool, name=target.name, state=PENDING)
        kept = [one.name for one in self._acts.snapshots.of(place)]
        there = Place(self._acts.keeper(target), volume_of(target))
        goods = Goods(self._acts.keeper(place), volume_of(place), kept)
        async with self._volumes.taking_place(holds):
            await watched(target.name, shown(run), carrying.copy, goods, there)
            await self._volumes.size(holds)
            await in_thread(there.driver.layout.keep)  # what is in the old pool goes then
            async with self._acts.left_alone(place):
                await self._acts.rows.move(row, target.pool, target.name)

    async def _finish(self, target: VolumePlace) -> None:
        """What is left of the old place goes, if the volume has left it; what cannot go now does so later."""
        with suppress(NotFound):
            row = self._acts.rows.get(*target)
            if row.state.startswith(MOVED):
                try:
                    async with self._acts.left_alone(target):
                        await self._volumes.settle(row)
                except (Failure, OSError) as error:  # the volume has moved all the same: nobody can ask for that again
                    told = (target.name, error)
                    log.warning("what volume %s has left where it was stays until the next start: %s", *told)
