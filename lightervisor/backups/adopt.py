"""Instances of which there are files and a description, but no row: out of backups, and found in pools by `recover`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from lightervisor.backups import records
from lightervisor.backups.records import Place
from lightervisor.config.merge import expand, root_device
from lightervisor.db.instance_snapshots import SnapshotRow
from lightervisor.db.instances import InstanceRows
from lightervisor.errors import Invalid
from lightervisor.instances.births import Births, Plan
from lightervisor.instances.catalog import Catalog
from lightervisor.model.backup_file import BackupConfig
from lightervisor.operations.operations import Run


class Adopted(NamedTuple):
    """An instance that may be, and the rows of its snapshots."""

    plan: Plan
    snapshots: Sequence[SnapshotRow]


class Adoption:
    """Stores instances by their descriptions."""

    def __init__(self, rows: InstanceRows, catalog: Catalog, births: Births) -> None:
        self._rows, self._catalog, self._births = rows, catalog, births

    def checked(self, config: BackupConfig, place: Place) -> Adopted:
        """An instance that may be. Raises Invalid with LXD's texts, NotFound for a pool."""
        told = config.container
        if told is None:
            raise Invalid("backup", cause="it says nothing of the instance")
        layers = self._catalog.profiles_named(place.project, told.profiles or [], for_new=True)
        inherited, taken = expand(layers, {}, {}).devices, records.identities(self._rows.list())
        row = records.instance_row(told, place, inherited, taken)
        snapshots = records.snapshot_rows(config, place, inherited, row, taken)
        if not place.is_here:  # what is here is not lost for a key that one can change
            self._births.check_snapshots(snapshots)
        return Adopted(self._births.plan(row), snapshots)

    def names(self) -> set[tuple[str, str]]:
        """Projects and names of all instances."""
        return {(row.project, row.name) for row in self._rows.list()}

    async def record(self, config: BackupConfig, place: Place) -> None:
        """Store an instance whose files are in its pool. Raises Invalid, Conflict, NotFound."""
        plan, snapshots = self.checked(config, place)
        await self._births.record(plan, snapshots)

    async def forget(self, project: str, name: str) -> None:
        """Undo `record`: its files stay. May be called twice."""
        await self._births.unrecord(project, name)

    def has(self, project: str, name: str) -> bool:
        """Whether an instance has this name."""
        return self._rows.exists(project, name)

    def usual_pool(self, project: str) -> str:
        """The pool of the default profile's root disk, "" when it has none."""
        for profile in self._catalog.known_profiles(project, ["default"]):
            if (root := root_device(profile.devices)) is not None:
                return root[1]["pool"]
        return ""

    async def adopt(self, run: Run, adopted: Adopted, make: Callable[[], Awaitable[None]]) -> None:
        """Store it once `make` has put its files into its pool; all of it goes when the operation fails."""
        await self._births.bring(run, adopted.plan, make, lambda _row: adopted.snapshots)
