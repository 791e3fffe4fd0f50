"""Making an instance what it was when a snapshot of it was taken. Source: LXD, PUT /1.0/instances/<name>, `restore`.

Its configuration comes first and its files last, as these change in one moment. Until then a failure puts the
configuration back; from then on the restore is done. Which of the two it is stands in the volume: it carries the mark
of the operation that restored it.
"""

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from lightervisor.db.instance_snapshots import SnapshotRow, SnapshotRows
from lightervisor.db.instances import InstanceRow
from lightervisor.errors import Invalid, NotFound
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.power import Power
from lightervisor.instances.snapshot_acts import SnapshotActs, arguments_of, place_of
from lightervisor.instances.update import Update
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Run

UNDO = "give instance that was being restored its configuration back"
_OF_THE_PRESENT = ("volatile.uuid", "volatile.idmap.", "volatile.last_state.")
_OF_A_RUN = ".host_name"


class SnapshotRestoring:
    """Restores all instances."""

    def __init__(
        self,
        snapshots: SnapshotRows,
        catalog: Catalog,
        update: Update,
        volumes: InstanceVolumes,
        power: Power,
        acts: SnapshotActs,
    ) -> None:
        self._memory = power.memory
        self._snapshots, self._catalog, self._update = snapshots, catalog, update
        self._volumes, self._power, self._acts = volumes, power, acts

    def restore(
        self,
        project: str,
        instance: str,
        wanted: str,
        *,
        stateful: bool,
        requestor: EventLifecycleRequestor | None = None,
    ) -> Operation:
        """Start restoring an instance from its snapshot `wanted` ("snap0" or "instance/snap0").

        One that runs is stopped for it and started again. Raises NotFound for the instance; the rest is in the
        operation.
        """
        self._catalog.row(project, instance)
        parent, _, name = wanted.rpartition("/")
        place = SnapshotPlace(project, instance, name)

        async def work(run: Run) -> None:
            snapshot = self._snapshots.find(*place)
            if snapshot is None or parent not in ("", instance):
                text = f"Snapshot {parent or instance}/{name} does not exist"
                raise NotFound("snapshot", name, text=text, remedy=f"lxc info {instance}")
            if stateful and not snapshot.stateful:
                text = "Stateful snapshot restore requested by snapshot is stateless"
                raise Invalid("snapshot", name, text=text, remedy="leave out --stateful")
            if stateful:
                await self._memory.check_kept(self._restored(snapshot), self._acts.pool(project, instance), place)
            await self._restore(run, place, snapshot, requestor, starts=not stateful)
            if stateful:
                await self._memory.take(self._catalog.row(project, instance), self._acts.pool(project, instance), place)
                await self._power.start(project, instance, requestor, revived_by=run)
            self._acts.publish_restored(place, requestor)

        return self._acts.start("Restoring snapshot", work, place)

    async def _restore(
        self,
        run: Run,
        place: SnapshotPlace,
        snapshot: SnapshotRow,
        requestor: EventLifecycleRequestor | None,
        *,
        starts: bool,
    ) -> None:
        project, instance, _ = place
        pool = self._acts.pool(project, instance)
        self._check(self._restored(snapshot), pool)
        self._volumes.check_not_read(project, instance)
        async with self._power.stopped_meanwhile(project, instance, requestor, starts=starts):
            old = self._catalog.row(project, instance)
            arguments = {
                **arguments_of(place, pool),
                "mark": run.id,
                "old": msgspec.json.encode(old).decode(),
            }
            new = self._restored(snapshot)
            await run.step(lambda: self._carry_out(pool, place, new, run.id), undo=UNDO, arguments=arguments)
            await self._memory.forget(self._catalog.row(project, instance))  # which a snapshot of btrfs brings along
            await self._acts.describe(place)

    async def _carry_out(self, pool: str, place: SnapshotPlace, new: InstanceRow, mark: str) -> None:
        await self._update.change(new)
        await self._volumes.restore_snapshot(pool, place, mark)

    def _check(self, new: InstanceRow, pool: str) -> None:
        """Raise Invalid for what the instance cannot become any more, before it is stopped for it."""
        expanded = self._update.check(new)
        if self._volumes.pool_of(expanded.devices) != pool:
            text = "The storage pool of the root disk can only be changed through move"
            raise Invalid("root disk", text=text)

    def _restored(self, snapshot: SnapshotRow) -> InstanceRow:
        """The instance as it was, less the profiles that are gone; what the daemon notes of the present stays."""
        now = self._catalog.row(snapshot.project, snapshot.instance)
        then = {key: value for key, value in snapshot.config.items() if not _is_of_the_present(key)}
        config = then | {key: value for key, value in now.config.items() if key.startswith(_OF_THE_PRESENT)}
        return msgspec.structs.replace(
            now,
            architecture=snapshot.architecture,
            ephemeral=snapshot.ephemeral,
            stateful=False,
            description=snapshot.description,
            config=config,
            devices=snapshot.devices,
            profiles=[one.name for one in self._catalog.known_profiles(snapshot.project, snapshot.profiles)],
        )

    async def undo(self, arguments: Mapping[str, str]) -> None:
        """Put the configuration back, unless the files were restored already; may be called twice."""
        place = place_of(arguments)
        with suppress(NotFound):  # it was deleted since
            if self._volumes.restored(arguments["pool"], place.project, place.instance) != arguments["mark"]:
                await self._update.change_back(msgspec.json.decode(arguments["old"], type=InstanceRow))


def _is_of_the_present(key: str) -> bool:
    return key.startswith(_OF_THE_PRESENT) or (key.startswith("volatile.") and key.endswith(_OF_A_RUN))
