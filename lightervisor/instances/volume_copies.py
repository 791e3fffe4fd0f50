"""Copies of the files of instances, with progress, which end when their operation is cancelled."""

from collections.abc import Sequence
from typing import NamedTuple

from lightervisor.config.names import volume_name
from lightervisor.instances import memory_files
from lightervisor.instances.memory_files import STATE
from lightervisor.instances.volumes import InstanceVolumes
from lightervisor.kernel import paths
from lightervisor.kernel.threads import in_thread
from lightervisor.storage import carrying
from lightervisor.storage.carrying import Goods, Place
from lightervisor.storage.driver import Snapshot, Still, Volume
from lightervisor.storage.watched import Told, watched


class Origin(NamedTuple):
    """The files of an instance, or of one of its snapshots, in a pool."""

    pool: str
    project: str
    instance: str
    snapshot: str

    @property
    def volume(self) -> Volume:
        """What storage drivers know the instance's as."""
        return Volume("containers", volume_name(self.project, self.instance))

    @property
    def files(self) -> Volume | Snapshot:
        """What storage drivers know them as."""
        return Snapshot(self.volume, self.snapshot) if self.snapshot else self.volume


class Target(NamedTuple):
    """Where the files of an instance are to be."""

    pool: str
    project: str
    instance: str

    @property
    def volume(self) -> Volume:
        """What storage drivers know it as."""
        return Volume("containers", volume_name(self.project, self.instance))


class VolumeCopies:
    """Copies the volumes of instances, over whichever pools they are in. `told` is given LXD's line of progress.

    Raises HostError, NotFound.
    """

    def __init__(self, volumes: InstanceVolumes) -> None:
        self.volumes = volumes

    async def copy(
        self, origin: Origin, target: Target, snapshots: Sequence[str], still: Still | None, told: Told
    ) -> None:
        """Make the volume of an instance, with these snapshots of the source, the oldest first."""
        goods = Goods(self.volumes.driver(origin.pool), origin.files, snapshots)
        await watched(target.instance, told, carrying.copy, goods, self._place(target), still)
        for name in snapshots:
            await self._give_memory(origin, name, target, name)
        await self._forget_memory(target)

    async def replace(self, origin: Origin, target: Target, still: Still | None, told: Told) -> None:
        """Make the volume of a stopped instance what the source is; its own snapshots are not affected."""
        await self.volumes.leave(target.project, target.instance)
        goods = Goods(self.volumes.driver(origin.pool), origin.files, [])
        await watched(target.instance, told, carrying.replace, goods, self._place(target), still)
        await self._forget_memory(target)

    async def copy_snapshot(self, origin: Origin, name: str, target: Target, new_name: str, told: Told) -> None:
        """Give an instance a snapshot of another one, by a name of its own."""
        goods = Goods(self.volumes.driver(origin.pool), Snapshot(origin.volume, name), [])
        await watched(target.instance, told, carrying.copy_snapshot, goods, self._place(target), new_name)
        await self._give_memory(origin, name, target, new_name)

    async def _give_memory(self, origin: Origin, name: str, target: Target, new_name: str) -> None:
        """Give a snapshot that was copied the memory of its source, if that has any."""
        source = self.volumes.driver(origin.pool).snapshot_path(Snapshot(origin.volume, name)) / STATE
        if source.is_dir():
            copy = Snapshot(target.volume, new_name)
            await in_thread(memory_files.give, self.volumes.driver(target.pool), source, copy)

    async def _forget_memory(self, target: Target) -> None:
        """A copy has not the memory of a snapshot that it is made of, which btrfs brings along."""
        await in_thread(paths.remove_tree, self.volumes.driver(target.pool).volume_path(target.volume) / STATE)

    def _place(self, target: Target) -> Place:
        return Place(self.volumes.driver(target.pool), target.volume)
