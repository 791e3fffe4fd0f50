"""What has arrived of an instance whose connection was cut: it waits for a day, and who tries again goes on from there.

    async with leftovers.place(project, name, pool) as place:
        place.volume       # files come here, under a name that nobody sees; with `place.snapshots` of before
        ...
        await place.settle(volume)

An instance comes into the world whole or not at all; what it is made of until then lies in a volume of its own, whose
snapshots are whole ones. Of one that is refreshed, what has come of the part that was cut waits so. It goes when the
transfer fails for another reason than a connection, when its time is over, and when the daemon starts.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress

from lightervisor.config.names import volume_name
from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.journal import JournalRow
from lightervisor.errors import Failure, NotFound, Unavailable
from lightervisor.instances import memory_files
from lightervisor.instances.memory_files import STATE
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import paths
from lightervisor.kernel.threads import finished, in_thread
from lightervisor.migration.descriptions import mark
from lightervisor.operations.journal import Journal
from lightervisor.storage.driver import StorageDriver
from lightervisor.storage.volume import PASSING, Snapshot, Volume

UNDO = "drop what has arrived of an instance"
KEPT_S = 24 * 3600.0
REMEDY = "what has arrived is kept for a day: the same command goes on from there"
log = logging.getLogger(__name__)


class ArrivalPlace:
    """Where one instance arrives; `is_new` when nothing of it has arrived before."""

    def __init__(self, driver: StorageDriver, volume: Volume) -> None:
        self.driver, self.volume, self.is_new = driver, volume, True
        self.snapshots: list[SnapshotRow] = []
        self.noted, self.pool = str(uuid.uuid4()), ""
        self.timer: asyncio.TimerHandle | None = None

    @property
    def parts(self) -> list[Volume]:
        """What has come so far, if anything has."""
        return [self.volume] if self.driver.has_volume(self.volume) else []

    async def keep(self, row: SnapshotRow) -> None:
        """The volume is what this snapshot is to be."""
        snapshot = Snapshot(self.volume, row.name)
        await in_thread(self.driver.create_snapshot, snapshot)
        if row.stateful:
            memory = self.driver.volume_path(self.volume) / STATE
            await in_thread(memory_files.give, self.driver, memory, snapshot)
            await in_thread(paths.remove_tree, memory)
        self.snapshots.append(row)

    async def drop_others(self, rows: list[SnapshotRow]) -> None:
        """Remove the snapshots that the source does not have any more, as they were."""
        wanted = {mark(row) for row in rows}
        for one in [one for one in self.snapshots if mark(one) not in wanted]:
            await in_thread(self.driver.delete_snapshot, Snapshot(self.volume, one.name))
            self.snapshots.remove(one)

    async def settle(self, volume: Volume) -> None:
        """All has come: it is this volume, with these snapshots."""
        await in_thread(self.driver.rename_volume, self.volume, volume)


class Leftovers:
    """The places of instances that arrive, or have arrived in part."""

    def __init__(self, volumes: InstanceVolumes, journal: Journal) -> None:
        self._volumes, self._journal = volumes, journal
        self._kept: dict[tuple[str, str], ArrivalPlace] = {}
        journal.register(UNDO, self._undo)

    @asynccontextmanager
    async def place(self, project: str, name: str, pool: str) -> AsyncGenerator[ArrivalPlace, None]:
        """A place; what is in it stays when the connection is cut, which is what Unavailable means here."""
        place = await self._found(project, name, pool)
        try:
            yield place
        except Unavailable as failure:
            if not place.parts:
                await finished(self._drop(place))
                raise
            self._keep(project, name, place)
            raise Unavailable(failure.kind, failure.name, cause=failure.cause, remedy=REMEDY) from failure
        except BaseException:
            await finished(self._drop(place))
            raise
        if place.parts:  # of what was there before and is whole now
            await finished(self._drop(place))
        else:
            await self._journal.settle(place.noted)

    async def _found(self, project: str, name: str, pool: str) -> ArrivalPlace:
        driver, place = self._volumes.driver(pool), self._kept.pop((project, name), None)
        if place is not None and place.timer is not None:
            place.timer.cancel()
        if place is not None and place.driver is driver and driver.has_volume(place.volume):
            place.is_new = False
            return place
        if place is not None:
            await self._drop(place)
        place = ArrivalPlace(
            driver, Volume("containers", f"{PASSING}{uuid.uuid4().hex[:8]} {volume_name(project, name)}")
        )
        place.pool = pool
        arguments = {"pool": pool, "volume": place.volume.name}
        await self._journal.note(JournalRow(place.noted, 0, UNDO, arguments))
        return place

    def _keep(self, project: str, name: str, place: ArrivalPlace) -> None:
        def end() -> None:
            if self._kept.get((project, name)) is place:
                del self._kept[project, name]
                ending.append(asyncio.ensure_future(self._drop(place)))

        ending: list[asyncio.Future[None]] = []  # the loop alone would let a task go
        self._kept[project, name] = place
        place.timer = asyncio.get_running_loop().call_later(KEPT_S, end)

    async def _drop(self, place: ArrivalPlace) -> None:
        try:
            await self._undo({"pool": place.pool, "volume": place.volume.name})
        except (Failure, OSError) as error:
            log.warning("%s stays until the next start: %s", place.volume.name, error)
            return
        await self._journal.settle(place.noted)

    async def _undo(self, arguments: Mapping[str, str]) -> None:
        volume = Volume("containers", arguments["volume"])
        with suppress(NotFound):  # its pool has gone
            driver = self._volumes.driver(arguments["pool"])
            await in_thread(driver.delete_volume, volume)
