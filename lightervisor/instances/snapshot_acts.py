"""What every change of a snapshot has around it: its operation, its events, and the description in the pool."""

from collections.abc import Mapping

from lightervisor.events.stream import Events
from lightervisor.instances.catalog import Catalog
from lightervisor.instances.volumes import InstanceVolumes, SnapshotPlace
from lightervisor.model.event import EventLifecycleRequestor
from lightervisor.model.operation import Operation
from lightervisor.operations.locks import instance_lock
from lightervisor.operations.operations import Operations, Work


class SnapshotActs:
    """Starts and tells of changes."""

    def __init__(self, catalog: Catalog, volumes: InstanceVolumes, operations: Operations, events: Events) -> None:
        self._catalog, self._volumes = catalog, volumes
        self._operations, self._events = operations, events

    def pool(self, project: str, instance: str) -> str:
        """The pool of an instance and of its snapshots. Raises NotFound."""
        return self._volumes.pool_of(self._catalog.expand(self._catalog.row(project, instance)).devices)

    async def describe(self, place: SnapshotPlace) -> None:
        """Write down in the pool which snapshots the instance has now."""
        row = self._catalog.row(place.project, place.instance)
        await self._volumes.write_description(row, self._volumes.pool_of(self._catalog.expand(row).devices))

    def start(self, description: str, work: Work, place: SnapshotPlace, *, is_lock_held: bool = False) -> Operation:
        """Start an operation on a snapshot, which takes its instance's lock unless its starter holds that."""
        resources = {kind: [f"/1.0/{kind}/{place.instance}"] for kind in ("instances", "containers")}
        locks = [] if is_lock_held else [instance_lock(place.project, place.instance)]
        return self._operations.start(description, work, project=place.project, resources=resources, locks=locks)

    def publish(
        self,
        action: str,
        place: SnapshotPlace,
        requestor: EventLifecycleRequestor | None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        """Tell listeners that a snapshot was created, renamed, …"""
        where = f"{place.instance}/snapshots/{place.name}"
        self._events.happened("instance", f"snapshot-{action}", where, place.project, requestor, context)

    def publish_restored(self, place: SnapshotPlace, requestor: EventLifecycleRequestor | None) -> None:
        """Tell listeners that an instance was restored from a snapshot."""
        context = {"snapshot": f"{place.instance}/{place.name}"}
        self._events.happened("instance", "restored", place.instance, place.project, requestor, context)

    def publish_refreshed(self, project: str, name: str, requestor: EventLifecycleRequestor | None) -> None:
        """Tell listeners that an instance was made what its source is, snapshots and all."""
        self._events.happened("instance", "updated", name, project, requestor)


def arguments_of(place: SnapshotPlace, pool: str) -> dict[str, str]:
    """A snapshot as the journal keeps it."""
    return {"project": place.project, "instance": place.instance, "name": place.name, "pool": pool}


def place_of(arguments: Mapping[str, str]) -> SnapshotPlace:
    """A snapshot from the journal."""
    return SnapshotPlace(arguments["project"], arguments["instance"], arguments["name"])
